/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of libsmbclient told apart, and named so that somebody can do something about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "smb_error.h"
#include "smb_url.h"

static struct agent_smb_fault fault(int errnum, enum agent_stage stage)
{
    return (struct agent_smb_fault){.errnum = errnum,
                                    .stage = stage,
                                    .resolvable = 1,
                                    .reason = "",
                                    .server = "files01",
                                    .share = "//files01/certs",
                                    .folder = "//files01/certs/live",
                                    .user = "svc",
                                    .has_folder = 1,
                                    .timeout_ms = 2500};
}

static void assert_store(struct agent_smb_fault f, int code, const char *text)
{
    struct ccs_error err = {0};

    assert_int_equal(agent_smb_store_error(&f, &err), code);
    assert_int_equal(err.code, code);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void test_store(void **state)
{
    struct agent_smb_fault f;

    (void)state;
    assert_store(fault(ECONNREFUSED, AGENT_STAGE_NONE), CCS_EUNAVAIL, "refuses connections");
    assert_store(fault(ETIMEDOUT, AGENT_STAGE_NONE), CCS_EUNAVAIL, "cannot be reached");
    assert_store(fault(ETIMEDOUT, AGENT_STAGE_NEGOTIATE), CCS_EUNAVAIL, "does not answer within");
    assert_store(fault(ENOSYS, AGENT_STAGE_NEGOTIATE), CCS_EUNAVAIL, "speaks no SMB 3");
    assert_store(fault(ETIMEDOUT, AGENT_STAGE_LOGON), CCS_EUNAVAIL, "complete the logon");
    assert_store(fault(ETIMEDOUT, AGENT_STAGE_WORK), CCS_EUNAVAIL, "stopped to answer");
    assert_store(fault(ENOTDIR, AGENT_STAGE_WORK), CCS_EUNAVAIL, "not a folder");
    f = fault(EINVAL, AGENT_STAGE_NONE);
    f.resolvable = 0;
    assert_store(f, CCS_EUNAVAIL, "name of the file server files01 is not known");
}

static void test_share_or_folder(void **state)
{
    struct agent_smb_fault f = fault(ENOENT, AGENT_STAGE_WORK);

    (void)state;
    assert_store(f, CCS_EUNAVAIL, "the share //files01/certs does not exist");
    f.share_answers = 1;
    assert_store(f, CCS_EUNAVAIL, "the store folder //files01/certs/live does not exist");
    f.has_folder = 0;
    assert_store(f, CCS_EUNAVAIL, "the share //files01/certs does not exist");
    f = fault(EACCES, AGENT_STAGE_WORK);
    assert_store(f, CCS_EACCESS, "the share //files01/certs");
    f.share_answers = 1;
    assert_store(f, CCS_EACCESS, "the store folder //files01/certs/live");
}

static void test_logon(void **state)
{
    struct agent_smb_fault f = fault(EACCES, AGENT_STAGE_LOGON);

    (void)state;
    assert_true(agent_smb_is_refusal(&f));
    assert_store(f, CCS_EACCESS, "refuses user \"svc\"");
    f.reason = "The account is locked.";
    assert_store(f, CCS_EACCESS, "The account is locked.");
    f.held = 1;
    f.pause_ms = 41001;
    assert_false(agent_smb_is_refusal(&f));
    assert_store(f, CCS_EACCESS, "tried in 42 s");
    f.pause_ms = 0;
    assert_store(f, CCS_EUNAVAIL, "under way");
    f = fault(EACCES, AGENT_STAGE_SHARE);
    assert_false(agent_smb_is_refusal(&f));
    f = fault(ETIMEDOUT, AGENT_STAGE_LOGON);
    assert_false(agent_smb_is_refusal(&f));
    f = fault(ECONNRESET, AGENT_STAGE_LOGON);
    assert_false(agent_smb_is_refusal(&f));
    /* Nobody has refused anything where the connection was lost in the middle. */
    f = fault(EINVAL, AGENT_STAGE_LOGON);
    assert_true(agent_smb_is_refusal(&f));
    f.reason = "The transport connection has been reset.";
    assert_false(agent_smb_is_refusal(&f));
    assert_int_equal(agent_smb_judge(&f), AGENT_SMB_RETRY);
    assert_store(f, CCS_EUNAVAIL, "does not complete the logon");
}

static void test_plain(void **state)
{
    struct agent_smb_fault f = fault(EPROTO, AGENT_STAGE_SHARE);

    (void)state;
    f.plain = 1;
    assert_int_equal(agent_smb_judge(&f), AGENT_SMB_STORE);
    assert_store(f, CCS_EUNAVAIL, "does not encrypt");
}

static void test_judge(void **state)
{
    const int lost[] = {ECONNABORTED, ECONNRESET, EPIPE, ENOTCONN, EIO};
    const int of_file[] = {ENOENT, EACCES, EBUSY, EISDIR, EINVAL};
    struct agent_smb_fault f;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(lost); i++) {
        f = fault(lost[i], AGENT_STAGE_WORK);
        assert_int_equal(agent_smb_judge(&f), AGENT_SMB_RETRY);
    }
    for (size_t i = 0; i < CCS_ARRAY_LEN(of_file); i++) {
        f = fault(of_file[i], AGENT_STAGE_WORK);
        assert_int_equal(agent_smb_judge(&f), AGENT_SMB_FILE);
        /* Before there is a connection it says nothing of any file. */
        for (int stage = AGENT_STAGE_NONE; stage < AGENT_STAGE_WORK; stage++) {
            f.stage = (enum agent_stage)stage;
            assert_int_equal(agent_smb_judge(&f), AGENT_SMB_STORE);
        }
    }
    f = fault(ETIMEDOUT, AGENT_STAGE_WORK);
    assert_int_equal(agent_smb_judge(&f), AGENT_SMB_STORE);
}

static void test_file(void **state)
{
    const struct {
        int errnum;
        int code;
    } cases[] = {{ENOENT, CCS_ENOTFOUND}, {EACCES, CCS_EACCESS},   {EBUSY, CCS_ECHANGED},
                 {EISDIR, CCS_EFILETYPE}, {EINVAL, CCS_ENOTFOUND}, {EMFILE, CCS_EUNAVAIL}};
    struct ccs_error err;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        const struct agent_smb_fault f = fault(cases[i].errnum, AGENT_STAGE_WORK);

        assert_int_equal(agent_smb_file_error(&f, &err), cases[i].code);
        assert_int_equal(err.sys_errno, cases[i].errnum);
    }
}

static void test_url(void **state)
{
    struct ccs_unc unc = {
        .server = "files01", .share = "c$ x", .path = "a b/\303\274", .port = 4455};
    char url[AGENT_SMB_URL_SIZE];

    (void)state;
    assert_int_equal(agent_smb_url(&unc, 1, "100% #.pfx", url, sizeof(url)), CCS_OK);
    assert_string_equal(url, "smb://files01:4455/c%24%20x/a%20b/%C3%BC/100%25%20%23.pfx");
    assert_int_equal(agent_smb_url(&unc, 1, NULL, url, sizeof(url)), CCS_OK);
    assert_string_equal(url, "smb://files01:4455/c%24%20x/a%20b/%C3%BC");
    assert_int_equal(agent_smb_url(&unc, 0, NULL, url, sizeof(url)), CCS_OK);
    assert_string_equal(url, "smb://files01:4455/c%24%20x/");
    unc = (struct ccs_unc){.server = "fe80::1", .share = "s"};
    assert_int_equal(agent_smb_url(&unc, 1, "x.pfx", url, sizeof(url)), CCS_OK);
    assert_string_equal(url, "smb://[fe80::1]/s/x.pfx");
    assert_int_equal(agent_smb_url(&unc, 1, "\344.pfx", url, sizeof(url)), CCS_EINVAL);
    assert_int_equal(agent_smb_url(&unc, 1, "\355\240\200.pfx", url, sizeof(url)), CCS_EINVAL);
    assert_int_equal(agent_smb_url(&unc, 1, "x.pfx", url, 10), CCS_EINVAL);
    assert_int_equal(agent_smb_url(&unc, 1, "x.pfx", url, strlen("smb://[fe80::1]/s/x.pfx")),
                     CCS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store), cmocka_unit_test(test_share_or_folder),
        cmocka_unit_test(test_logon), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_judge), cmocka_unit_test(test_file),
        cmocka_unit_test(test_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
