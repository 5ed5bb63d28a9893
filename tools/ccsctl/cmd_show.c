/* SPDX-License-Identifier: Apache-2.0 */
/* ccsctl show: what PFX files hold, or why they cannot be served. */
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "inspect.h"

static void show_usage(FILE *out)
{
    fprintf(out, "usage: ccsctl show [--json] [--password-file FILE] PFX...\n"
                 "\n"
                 "Reads each PFX file as a server would, and prints what it holds or why it is\n"
                 "refused. Exit status 0 if all can be served, 1 if any cannot, 2 on wrong usage.\n"
                 "\n"
                 "  --json                one JSON array with an object per file\n"
                 "  --password-file FILE  passwords, one per line, tried in order\n");
}

static const char *show_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "unknown";
}

static void show_list(const char *label, const json_t *list)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        printf("%s%s", i == 0 ? label : ", ", json_string_value(json_array_get(list, i)));
    }
    if (i > 0) {
        printf("\n");
    }
}

/* Times in one format compare as their texts do. */
static const char *show_validity(const char *not_before, const char *not_after)
{
    char now[64];
    time_t t = time(NULL);
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        return "";
    }
    if (strcmp(now, not_before) < 0) {
        return " (not yet valid)";
    }
    return strcmp(now, not_after) > 0 ? " (expired)" : "";
}

static void show_pair(const json_t *pair)
{
    const char *not_before = show_string(pair, "not_before");
    const char *not_after = show_string(pair, "not_after");

    printf("  key          %s, %lld bits\n", show_string(pair, "key_type"),
           (long long)json_integer_value(json_object_get(pair, "key_bits")));
    show_list("  names        ", json_object_get(pair, "names"));
    printf("  issuer       %s\n", show_string(pair, "issuer"));
    printf("  valid        %s to %s%s\n", not_before, not_after,
           show_validity(not_before, not_after));
    printf("  chain        %lld\n",
           (long long)json_integer_value(json_object_get(pair, "chain_length")));
    printf("  fingerprint  %s\n", show_string(pair, "fingerprint"));
    show_list("  legacy       ", json_object_get(pair, "legacy"));
}

static void show_file(const json_t *report)
{
    const json_t *pairs = json_object_get(report, "pairs");
    const json_t *warnings = json_object_get(report, "warnings");
    const json_t *reason = json_object_get(report, "reason");
    size_t i;

    printf("%s: %s\n", show_string(report, "file"), show_string(report, "result"));
    if (json_is_string(reason)) {
        printf("  %s\n", json_string_value(reason));
    }
    for (i = 0; i < json_array_size(pairs); i++) {
        if (i > 0) {
            printf("\n");
        }
        show_pair(json_array_get(pairs, i));
    }
    for (i = 0; i < json_array_size(warnings); i++) {
        printf("  warning      %s\n", json_string_value(json_array_get(warnings, i)));
    }
}

static int show_files(char **paths, size_t count, const struct ccs_settings *settings, int json)
{
    json_t *all = json_array();
    int rv = CTL_OK;
    size_t i;

    for (i = 0; i < count; i++) {
        json_t *report = ctl_inspect(paths[i], settings);

        if (report == NULL) {
            fprintf(stderr, "ccsctl show: not enough memory\n");
            rv = CTL_USAGE;
            break;
        }
        if (strcmp(show_string(report, "result"), "ok") != 0) {
            rv = CTL_BAD;
        }
        if (json) {
            json_array_append_new(all, report);
            continue;
        }
        if (i > 0) {
            printf("\n");
        }
        show_file(report);
        json_decref(report);
    }
    if (json && rv != CTL_USAGE) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(all);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ccsctl show: standard output");
        rv = CTL_USAGE;
    }
    return rv;
}

int ctl_cmd_show(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},
        {"password-file", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings settings;
    struct ccs_error err = {0};
    int json = 0;
    int rv = CTL_USAGE;
    int c;

    if (cfg == NULL) {
        fprintf(stderr, "ccsctl show: not enough memory\n");
        return CTL_USAGE;
    }
    while ((c = getopt_long(argc, argv, "hjp:", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            show_usage(stdout);
            rv = CTL_OK;
            goto out;
        case 'j':
            json = 1;
            break;
        case 'p':
            if (ccs_config_set(cfg, "password_file", optarg, &err) != CCS_OK) {
                fprintf(stderr, "ccsctl show: %s\n", err.text);
                goto out;
            }
            break;
        default:
            show_usage(stderr);
            goto out;
        }
    }
    if (optind >= argc) {
        show_usage(stderr);
        goto out;
    }
    ccs_config_values(cfg, &settings);
    rv = show_files(argv + optind, (size_t)(argc - optind), &settings, json);

out:
    ccs_config_free(cfg);
    return rv;
}
