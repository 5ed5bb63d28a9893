/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"
#include "tmp.h"

#define MAX (1024 * 1024)

struct fixture {
    struct ccs_tmp tmp;
    char root[256]; /* the store, a sub-folder, so that things can be put beside it */
    struct ccs_store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    ccs_tmp_make(&f->tmp);
    ccs_tmp_mkdir(f->tmp.path, "store");
    ccs_tmp_join(f->root, sizeof(f->root), f->tmp.path, "store");
    assert_int_equal(ccs_store_open(f->root, &f->store, NULL), CCS_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ccs_store_close(f->store);
    ccs_tmp_remove(&f->tmp);
    free(f);
    return 0;
}

static const char *in_root(const struct fixture *f, const char *name)
{
    static char path[512];

    return ccs_tmp_join(path, sizeof(path), f->root, name);
}

/* Reads and stats; both must agree unless only the read can know. */
static int read_code(struct ccs_store *store, const char *file, size_t max, struct ccs_error *err)
{
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct ccs_error local;
    const int rv = ccs_store_read(store, file, max, &data, &stamp, err != NULL ? err : &local);

    if (rv != CCS_OK) {
        assert_null(data.data);
        assert_int_equal((err != NULL ? err : &local)->code, rv);
        assert_true((err != NULL ? err : &local)->text[0] != '\0');
    }
    ccs_secret_free(&data);
    return rv;
}

static int stat_code(struct ccs_store *store, const char *file)
{
    struct ccs_stamp stamp;

    return ccs_store_stat(store, file, &stamp, NULL);
}

static void assert_both(struct ccs_store *store, const char *file, int code)
{
    assert_int_equal(read_code(store, file, MAX, NULL), code);
    assert_int_equal(stat_code(store, file), code);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* Runs body in a child, so that it can give up rights. Its exit status must be 0. */
static void in_child(void (*body)(struct fixture *f), struct fixture *f)
{
    int status;
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        body(f);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* In a child, cmocka's assertions cannot be used. */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);           \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void become_nobody(void)
{
    if (geteuid() == 0) {
        MUST(setresgid(65534, 65534, 65534) == 0);
        MUST(setresuid(65534, 65534, 65534) == 0);
    }
}

/* -- opening ------------------------------------------------------------------------------- */

static void test_locations(void **state)
{
    static const char *const bad[] = {"",
                                      "\\\\server\\share",
                                      "//server/share",
                                      "//s",
                                      "smb://server/share",
                                      "SMB://server/share",
                                      "cifs://server/share",
                                      "http://server/",
                                      "C:\\certs",
                                      "c:/certs"};
    static const char *const shares[] = {"\\\\server\\share", "//server/share", "smb://s/x"};
    struct ccs_store *const untouched = (struct ccs_store *)(uintptr_t)1;
    struct ccs_store *store = untouched;
    struct ccs_error err;
    char *tall = malloc(10000);

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(ccs_store_open(bad[i], &store, &err), CCS_EINVAL);
        assert_ptr_equal(store, untouched);
    }
    assert_int_equal(ccs_store_open(NULL, &store, NULL), CCS_EINVAL);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        assert_int_equal(ccs_store_open(shares[i], &store, &err), CCS_EINVAL);
        assert_contains(err.text, "mount.cifs");
        assert_contains(err.text, shares[i][0] == '\\' ? "server" : shares[i]);
    }
    assert_non_null(tall);
    memset(tall, 'a', 9999);
    tall[9999] = '\0';
    assert_int_equal(ccs_store_open(tall, &store, &err), CCS_EINVAL);
    free(tall);
    assert_ptr_equal(store, untouched);

    assert_int_equal(ccs_store_open("///", &store, NULL), CCS_OK);
    ccs_store_close(store);
    assert_int_equal(ccs_store_open("/nowhere/at/all", &store, NULL), CCS_OK);
    ccs_store_close(store);
    ccs_store_close(NULL);
}

static void test_relative_path_and_slashes(void **state)
{
    struct fixture *f = *state;
    struct ccs_store *store;
    char with_slashes[300];
    int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ccs_tmp_print(f->root, "a.pfx", "x");
    snprintf(with_slashes, sizeof(with_slashes), "%s//", f->root);
    assert_int_equal(ccs_store_open(with_slashes, &store, NULL), CCS_OK);
    assert_both(store, "a.pfx", CCS_OK);
    ccs_store_close(store);

    /* A relative path is that of the moment it was given. */
    assert_true(cwd >= 0);
    assert_int_equal(chdir(f->tmp.path), 0);
    assert_int_equal(ccs_store_open("store/", &store, NULL), CCS_OK);
    assert_int_equal(chdir("/"), 0);
    assert_both(store, "a.pfx", CCS_OK);
    ccs_store_close(store);
    assert_int_equal(fchdir(cwd), 0);
    close(cwd);
}

static void test_no_folder(void **state)
{
    struct fixture *f = *state;
    struct ccs_store *store;
    struct ccs_root root;
    struct ccs_error err;
    struct ccs_stamp stamp;
    char path[300];

    assert_int_equal(
        ccs_store_open(ccs_tmp_join(path, sizeof(path), f->tmp.path, "none"), &store, NULL),
        CCS_OK);
    assert_int_equal(ccs_store_probe(store, &root, &err), CCS_EUNAVAIL);
    assert_contains(err.text, path);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(ccs_store_stat(store, "a.pfx", &stamp, &err), CCS_EUNAVAIL);
    assert_int_equal(read_code(store, "a.pfx", MAX, NULL), CCS_EUNAVAIL);
    assert_int_equal(ccs_store_watch_start(store, &err), CCS_EUNAVAIL);
    assert_int_equal(ccs_store_watch_fd(store), -1);
    ccs_store_watch_read(store, NULL, NULL);
    /* It may come later. */
    ccs_tmp_mkdir(f->tmp.path, "none");
    assert_int_equal(ccs_store_probe(store, &root, &err), CCS_OK);
    assert_both(store, "a.pfx", CCS_ENOTFOUND);
    ccs_store_close(store);

    ccs_tmp_print(f->tmp.path, "plain", "x");
    assert_int_equal(
        ccs_store_open(ccs_tmp_join(path, sizeof(path), f->tmp.path, "plain"), &store, NULL),
        CCS_OK);
    assert_int_equal(ccs_store_probe(store, &root, &err), CCS_EUNAVAIL);
    assert_contains(err.text, "not a folder");
    ccs_store_close(store);
}

/* -- reading ------------------------------------------------------------------------------- */

static void test_read(void **state)
{
    struct fixture *f = *state;
    struct ccs_secret data = {0};
    struct ccs_stamp read_stamp;
    struct ccs_stamp stat_stamp;
    struct stat st;
    uint8_t bytes[100000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    ccs_tmp_write(f->root, "www.example.com.pfx", bytes, sizeof(bytes));
    assert_int_equal(ccs_store_read(f->store, "www.example.com.pfx", MAX, &data, &read_stamp, NULL),
                     CCS_OK);
    assert_int_equal(data.len, sizeof(bytes));
    assert_memory_equal(data.data, bytes, sizeof(bytes));
    assert_int_equal(data.data[data.len], 0);
    ccs_secret_free(&data);
    assert_int_equal(ccs_store_stat(f->store, "www.example.com.pfx", &stat_stamp, NULL), CCS_OK);
    assert_true(ccs_stamp_equal(&read_stamp, &stat_stamp));
    assert_int_equal(stat(in_root(f, "www.example.com.pfx"), &st), 0);
    assert_int_equal(stat_stamp.size, sizeof(bytes));
    assert_int_equal(stat_stamp.file_id, st.st_ino);
    assert_int_equal(stat_stamp.mtime_ns,
                     (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);

    ccs_tmp_replace(f->root, "www.example.com.pfx", bytes, sizeof(bytes));
    assert_int_equal(ccs_store_stat(f->store, "www.example.com.pfx", &stat_stamp, NULL), CCS_OK);
    assert_false(ccs_stamp_equal(&read_stamp, &stat_stamp));
}

static void test_sizes(void **state)
{
    struct fixture *f = *state;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct ccs_error err;
    int fd;

    ccs_tmp_write(f->root, "empty.pfx", "", 0);
    ccs_tmp_write(f->root, "ten.pfx", "0123456789", 10);
    assert_int_equal(ccs_store_read(f->store, "empty.pfx", MAX, &data, &stamp, &err),
                     CCS_EINCOMPLETE);
    assert_true(stamp.file_id != 0); /* it was opened, so the stamp tells which version it was */
    assert_int_equal(stat_code(f->store, "empty.pfx"), CCS_OK);
    assert_int_equal(read_code(f->store, "ten.pfx", 10, NULL), CCS_OK);
    assert_int_equal(ccs_store_read(f->store, "ten.pfx", 9, &data, &stamp, &err), CCS_ETOOBIG);
    assert_int_equal(stamp.size, 10);
    assert_contains(err.text, "10 octets");
    assert_contains(err.text, "9 ");
    assert_int_equal(ccs_store_read(f->store, "none.pfx", 9, &data, &stamp, &err), CCS_ENOTFOUND);
    assert_int_equal(stamp.file_id, 0);

    fd = open(in_root(f, "huge.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
    close(fd);
    assert_int_equal(read_code(f->store, "huge.pfx", MAX, &err), CCS_ETOOBIG);
    assert_contains(err.text, "1073741824");
    assert_int_equal(stat_code(f->store, "huge.pfx"), CCS_OK);
}

static void test_names(void **state)
{
    static const char *const bad[] = {
        "", ".", "..", "/a.pfx", "a/b.pfx", "../x.pfx", "../store/a.pfx", "a.pfx/", "./a.pfx"};
    struct fixture *f = *state;
    char longest[300];

    ccs_tmp_print(f->root, "a.pfx", "x");
    ccs_tmp_print(f->tmp.path, "x.pfx", "x");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_both(f->store, bad[i], CCS_EINVAL);
    assert_both(f->store, NULL, CCS_EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[256] = '\0';
    assert_both(f->store, longest, CCS_EINVAL);
    longest[255] = '\0';
    assert_both(f->store, longest, CCS_ENOTFOUND);
    memcpy(longest + 251, ".pfx", 4);
    ccs_tmp_print(f->root, longest, "x");
    assert_both(f->store, longest, CCS_OK);
    ccs_tmp_print(f->root, "b\xc3\xbc\n\x01 %s.pfx", "x");
    assert_both(f->store, "b\xc3\xbc\n\x01 %s.pfx", CCS_OK);
    assert_both(f->store, "A.pfx", CCS_ENOTFOUND);
}

static void test_no_regular_file(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    assert_int_equal(mkfifo(in_root(f, "fifo.pfx"), 0644), 0);
    ccs_tmp_mkdir(f->root, "folder.pfx");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_true(strlen(in_root(f, "socket.pfx")) < sizeof(addr.sun_path));
    strcpy(addr.sun_path, in_root(f, "socket.pfx"));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    alarm(60); /* a FIFO that hangs must end the test */
    assert_both(f->store, "fifo.pfx", CCS_EFILETYPE);
    assert_both(f->store, "folder.pfx", CCS_EFILETYPE);
    assert_both(f->store, "socket.pfx", CCS_EFILETYPE);
    if (mknod(in_root(f, "null.pfx"), S_IFCHR | 0666, makedev(1, 5)) == 0)
        assert_both(f->store, "null.pfx", CCS_EFILETYPE);
    /* A FIFO with a writer has something to read, and is not read all the same. */
    close(fd);
    fd = open(in_root(f, "fifo.pfx"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_both(f->store, "fifo.pfx", CCS_EFILETYPE);
    close(fd);
    alarm(0);
}

static void make_links(struct fixture *f)
{
    char outside[300];

    ccs_tmp_print(f->root, "real.pfx", "real");
    ccs_tmp_mkdir(f->root, "sub");
    ccs_tmp_print(in_root(f, "sub"), "deep.pfx", "deep");
    ccs_tmp_print(f->tmp.path, "outside.pfx", "outside");
    ccs_tmp_join(outside, sizeof(outside), f->tmp.path, "outside.pfx");
    assert_int_equal(symlink("real.pfx", in_root(f, "inside.pfx")), 0);
    assert_int_equal(symlink("sub/deep.pfx", in_root(f, "deeper.pfx")), 0);
    assert_int_equal(symlink("sub/../real.pfx", in_root(f, "updown.pfx")), 0);
    assert_int_equal(symlink("../outside.pfx", in_root(f, "up.pfx")), 0);
    assert_int_equal(symlink(outside, in_root(f, "absolute.pfx")), 0);
    assert_int_equal(symlink("/etc/passwd", in_root(f, "passwd.pfx")), 0);
    assert_int_equal(symlink("/proc/self/fd/0", in_root(f, "magic.pfx")), 0);
    assert_int_equal(symlink("nothing.pfx", in_root(f, "dangling.pfx")), 0);
    assert_int_equal(symlink("loop2.pfx", in_root(f, "loop1.pfx")), 0);
    assert_int_equal(symlink("loop1.pfx", in_root(f, "loop2.pfx")), 0);
    assert_int_equal(symlink("real.pfx/x", in_root(f, "through.pfx")), 0);
    assert_int_equal(symlink("sub", in_root(f, "tofolder.pfx")), 0);
}

static void test_links(void **state)
{
    struct fixture *f = *state;

    make_links(f);
    assert_both(f->store, "inside.pfx", CCS_OK);
    assert_both(f->store, "deeper.pfx", CCS_OK);
    assert_both(f->store, "updown.pfx", CCS_OK);
    assert_both(f->store, "up.pfx", CCS_EFILETYPE);
    assert_both(f->store, "absolute.pfx", CCS_EFILETYPE);
    assert_both(f->store, "passwd.pfx", CCS_EFILETYPE);
    assert_both(f->store, "magic.pfx", CCS_EFILETYPE);
    assert_both(f->store, "dangling.pfx", CCS_ENOTFOUND);
    assert_both(f->store, "loop1.pfx", CCS_EFILETYPE);
    assert_both(f->store, "through.pfx", CCS_EFILETYPE);
    assert_both(f->store, "tofolder.pfx", CCS_EFILETYPE);
}

/* A system call filter under which openat2 does not exist. */
static void forbid_openat2(int errnum)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = 4, .filter = code};

    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
        _exit(77);
    MUST(syscall(SYS_openat2, AT_FDCWD, "/", NULL, (size_t)0) == -1 && errno == errnum);
}

static void check_without_openat2(struct fixture *f)
{
    MUST(read_code(f->store, "real.pfx", MAX, NULL) == CCS_OK);
    MUST(stat_code(f->store, "real.pfx") == CCS_OK);
    MUST(read_code(f->store, "none.pfx", MAX, NULL) == CCS_ENOTFOUND);
    MUST(stat_code(f->store, "none.pfx") == CCS_ENOTFOUND);
    MUST(read_code(f->store, "inside.pfx", MAX, NULL) == CCS_EFILETYPE);
    MUST(stat_code(f->store, "inside.pfx") == CCS_EFILETYPE);
    MUST(read_code(f->store, "passwd.pfx", MAX, NULL) == CCS_EFILETYPE);
    MUST(read_code(f->store, "dangling.pfx", MAX, NULL) == CCS_EFILETYPE);
    MUST(read_code(f->store, "sub", MAX, NULL) == CCS_EFILETYPE);
}

static void without_openat2_enosys(struct fixture *f)
{
    forbid_openat2(ENOSYS);
    check_without_openat2(f);
}

static void without_openat2_eperm(struct fixture *f)
{
    forbid_openat2(EPERM);
    check_without_openat2(f);
}

static void test_without_openat2(void **state)
{
    struct fixture *f = *state;

    make_links(f);
    in_child(without_openat2_enosys, f);
    in_child(without_openat2_eperm, f);
}

static void unreadable_things(struct fixture *f)
{
    struct ccs_error err;
    struct ccs_root root;
    char who[40];

    become_nobody();
    snprintf(who, sizeof(who), "user id %u ", (unsigned)geteuid());
    MUST(read_code(f->store, "secret.pfx", MAX, &err) == CCS_EACCESS);
    MUST(strstr(err.text, who) != NULL && err.sys_errno == EACCES);
    MUST(stat_code(f->store, "secret.pfx") == CCS_OK);
    MUST(read_code(f->store, "open.pfx", MAX, NULL) == CCS_OK);
    MUST(read_code(f->store, "none.pfx", MAX, NULL) == CCS_ENOTFOUND);
    MUST(ccs_store_probe(f->store, &root, NULL) == CCS_OK);
}

static void unreadable_root(struct fixture *f)
{
    struct ccs_error err;
    struct ccs_root root;
    struct ccs_stamp stamp;

    become_nobody();
    MUST(ccs_store_probe(f->store, &root, &err) == CCS_EACCESS);
    MUST(strstr(err.text, f->root) != NULL && strstr(err.text, "user id") != NULL);
    MUST(err.code == CCS_EACCESS);
    /* Nothing is known of files in a folder that cannot be used. */
    MUST(read_code(f->store, "open.pfx", MAX, &err) == CCS_EUNAVAIL);
    MUST(err.code == CCS_EUNAVAIL && strstr(err.text, f->root) != NULL);
    MUST(ccs_store_stat(f->store, "none.pfx", &stamp, &err) == CCS_EUNAVAIL);
    MUST(err.code == CCS_EUNAVAIL);
}

static void unlistable_root(struct fixture *f)
{
    struct ccs_error err;
    struct ccs_root root;

    become_nobody();
    MUST(ccs_store_probe(f->store, &root, &err) == CCS_EACCESS);
    MUST(ccs_store_watch_start(f->store, &err) == CCS_EACCESS);
    MUST(read_code(f->store, "none.pfx", MAX, NULL) == CCS_EUNAVAIL);
}

static void test_permissions(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(chmod(f->tmp.path, 0755), 0);
    ccs_tmp_print(f->root, "secret.pfx", "x");
    ccs_tmp_print(f->root, "open.pfx", "x");
    assert_int_equal(chmod(in_root(f, "secret.pfx"), 0), 0);
    in_child(unreadable_things, f);
    assert_int_equal(chmod(f->root, 0600), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(f->root, 65534, 65534), 0);
    in_child(unreadable_root, f);
    assert_int_equal(chmod(f->root, 0), 0);
    in_child(unreadable_root, f);
    assert_int_equal(chmod(f->root, 0100), 0);
    in_child(unlistable_root, f);
    assert_int_equal(chmod(f->root, 0755), 0);
    assert_int_equal(chmod(f->tmp.path, 0), 0);
    in_child(unreadable_root, f);
    assert_int_equal(chmod(f->tmp.path, 0755), 0);
}

/* -- changing while read ------------------------------------------------------------------- */

struct writer {
    char path[512];
    atomic_int stop;
    atomic_uint rounds;
};

#define BIG (512 * 1024)

/* Overwrites the file in place with blocks of one letter, again and again. */
static void *write_in_place(void *arg)
{
    static char block[BIG];
    struct writer *w = arg;

    for (unsigned round = 0; !atomic_load(&w->stop); round++) {
        const int fd = open(w->path, O_WRONLY | O_CLOEXEC);

        memset(block, 'a' + (int)(round % 26), sizeof(block));
        if (fd < 0 || write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            abort();
        close(fd);
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

static void test_overwritten_while_read(void **state)
{
    struct fixture *f = *state;
    struct writer w = {.stop = 0};
    char *bytes = calloc(1, BIG);
    unsigned changed = 0;
    pthread_t thread;
    const double until = ccs_wait_clock() + ccs_wait_scaled(60000);

    assert_non_null(bytes);
    ccs_tmp_write(f->root, "busy.pfx", bytes, BIG);
    free(bytes);
    ccs_tmp_join(w.path, sizeof(w.path), f->root, "busy.pfx");
    assert_int_equal(pthread_create(&thread, NULL, write_in_place, &w), 0);
    while (changed == 0 && ccs_wait_clock() < until) {
        const int rv = read_code(f->store, "busy.pfx", MAX, NULL);

        assert_true(rv == CCS_OK || rv == CCS_ECHANGED);
        changed += rv == CCS_ECHANGED;
    }
    atomic_store(&w.stop, 1);
    pthread_join(thread, NULL);
    assert_true(changed > 0);
    assert_int_equal(read_code(f->store, "busy.pfx", MAX, NULL), CCS_OK);
}

/* -- the root ------------------------------------------------------------------------------ */

static void test_probe(void **state)
{
    struct fixture *f = *state;
    struct ccs_root one;
    struct ccs_root two;
    struct timespec old[2] = {{1000, 5}, {1000, 7}};
    struct stat st;

    assert_int_equal(utimensat(AT_FDCWD, f->root, old, 0), 0);
    assert_int_equal(ccs_store_probe(f->store, &one, NULL), CCS_OK);
    assert_int_equal(stat(f->root, &st), 0);
    assert_int_equal(one.device, st.st_dev);
    assert_int_equal(one.file_id, st.st_ino);
    assert_true(one.fs_type != 0);
    assert_int_equal(one.mtime_ns, INT64_C(1000000000007));
    ccs_tmp_print(f->root, "a.pfx", "x");
    assert_int_equal(ccs_store_probe(f->store, &two, NULL), CCS_OK);
    assert_true(two.mtime_ns > one.mtime_ns);
    assert_int_equal(two.file_id, one.file_id);
}

static void test_root_exchanged(void **state)
{
    struct fixture *f = *state;
    struct ccs_root first;
    struct ccs_root root;
    struct ccs_error err;
    char aside[300];

    ccs_tmp_join(aside, sizeof(aside), f->tmp.path, "aside");
    ccs_tmp_print(f->root, "a.pfx", "x");
    assert_int_equal(ccs_store_probe(f->store, &first, NULL), CCS_OK);

    /* Gone. */
    assert_int_equal(rename(f->root, aside), 0);
    assert_int_equal(ccs_store_probe(f->store, &root, &err), CCS_EUNAVAIL);
    assert_both(f->store, "a.pfx", CCS_EUNAVAIL);
    /* Another one without files is what a mount point looks like without its share. */
    ccs_tmp_mkdir(f->tmp.path, "store");
    ccs_tmp_print(f->root, "README", "x");
    assert_int_equal(ccs_store_probe(f->store, &root, &err), CCS_EUNAVAIL);
    assert_contains(err.text, "is empty and is not the folder that was there before");
    assert_contains(err.text, f->root);
    assert_both(f->store, "a.pfx", CCS_EUNAVAIL);
    assert_int_equal(ccs_store_watch_start(f->store, &err), CCS_EUNAVAIL);
    /* With files it is the store. */
    ccs_tmp_print(f->root, "b.pfx", "x");
    assert_int_equal(ccs_store_probe(f->store, &root, &err), CCS_OK);
    assert_true(root.file_id != first.file_id);
    assert_both(f->store, "a.pfx", CCS_ENOTFOUND);
    assert_both(f->store, "b.pfx", CCS_OK);
    /* The store itself may well become empty. */
    ccs_tmp_unlink(f->root, "b.pfx");
    assert_both(f->store, "b.pfx", CCS_ENOTFOUND);
    assert_int_equal(ccs_store_probe(f->store, &root, &err), CCS_OK);
}

static void mounts(struct fixture *f)
{
    char aside[300];
    struct ccs_root before;
    struct ccs_root root;
    struct ccs_error err;

    ccs_tmp_join(aside, sizeof(aside), f->tmp.path, "aside");
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", f->root, "tmpfs", 0, "size=1m") != 0)
        _exit(77);
    MUST(close(open(in_root(f, "a.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
    MUST(truncate(in_root(f, "a.pfx"), 3) == 0);
    MUST(ccs_store_probe(f->store, &before, NULL) == CCS_OK);
    MUST(read_code(f->store, "a.pfx", MAX, NULL) == CCS_OK);
    MUST(ccs_store_watch_start(f->store, &err) == CCS_OK);
    /* A second place keeps the kernel from giving its device number to the next one. */
    MUST(mkdir(aside, 0755) == 0 && mount(f->root, aside, NULL, MS_BIND, NULL) == 0);
    /* A store in use, watched even, can be unmounted. */
    MUST(umount2(f->root, 0) == 0);
    MUST(ccs_store_probe(f->store, &root, &err) == CCS_EUNAVAIL);
    MUST(strstr(err.text, "still mounted") != NULL);
    MUST(read_code(f->store, "a.pfx", MAX, NULL) == CCS_EUNAVAIL);
    MUST(stat_code(f->store, "a.pfx") == CCS_EUNAVAIL);
    MUST(mount("tmpfs", f->root, "tmpfs", 0, "size=1m") == 0);
    MUST(stat_code(f->store, "a.pfx") == CCS_EUNAVAIL);
    MUST(close(open(in_root(f, "b.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
    MUST(stat_code(f->store, "a.pfx") == CCS_ENOTFOUND);
    MUST(ccs_store_probe(f->store, &root, &err) == CCS_OK);
    MUST(root.device != before.device);
    MUST(umount2(f->root, 0) == 0 && umount2(aside, 0) == 0);
}

static void test_unmounted(void **state)
{
    in_child(mounts, *state);
}

/* The share is mounted only after the server started. */
static void late_mount(struct fixture *f)
{
    struct ccs_root root;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        _exit(77);
    MUST(ccs_store_probe(f->store, &root, NULL) == CCS_OK);
    MUST(stat_code(f->store, "a.pfx") == CCS_ENOTFOUND);
    if (mount("tmpfs", f->root, "tmpfs", 0, "size=1m") != 0)
        _exit(77);
    MUST(close(open(in_root(f, "a.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
    MUST(stat_code(f->store, "a.pfx") == CCS_OK);
    MUST(umount2(f->root, 0) == 0);
    MUST(stat_code(f->store, "a.pfx") == CCS_EUNAVAIL);
}

static void test_mounted_late(void **state)
{
    in_child(late_mount, *state);
}

/* -- listing ------------------------------------------------------------------------------- */

struct names {
    size_t count;
    size_t stop_after;
    char all[8192];
};

static int collect(const char *file, size_t len, void *arg)
{
    struct names *n = arg;

    assert_int_equal(strlen(file), len);
    n->count++;
    strcat(n->all, "|");
    strcat(n->all, file);
    strcat(n->all, "|");
    return n->stop_after != 0 && n->count >= n->stop_after;
}

static void test_list(void **state)
{
    static const char *const listed[] = {"a.pfx",   "B.PFX",         "c.rsa.pfx",
                                         "_.d.pfx", "b\xc3\xbc.PfX", "..pfx.pfx"};
    static const char *const others[] = {".pfx", "a.pfx.tmp", "b.pem", "pfx", "xpfx", "a.pfx.lock"};
    struct fixture *f = *state;
    struct names n = {.count = 0};
    char item[64];

    assert_int_equal(ccs_store_list(f->store, collect, &n, NULL), CCS_OK);
    assert_int_equal(n.count, 0);
    for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++)
        ccs_tmp_print(f->root, listed[i], "x");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ccs_tmp_print(f->root, others[i], "x");
    assert_int_equal(ccs_store_list(f->store, collect, &n, NULL), CCS_OK);
    assert_int_equal(n.count, sizeof(listed) / sizeof(listed[0]));
    for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
        snprintf(item, sizeof(item), "|%s|", listed[i]);
        assert_contains(n.all, item);
    }
    memset(&n, 0, sizeof(n));
    n.stop_after = 2;
    assert_int_equal(ccs_store_list(f->store, collect, &n, NULL), CCS_OK);
    assert_int_equal(n.count, 2);
}

/* -- watching ------------------------------------------------------------------------------ */

struct seen {
    char log[65536]; /* "+file " came, "-file " went, "? " overflow, "! " root gone */
    size_t len;
};

static void on_event(enum ccs_event_kind kind, const char *file, void *arg)
{
    static const char letters[] = {'+', '-', '?', '!'};
    struct seen *s = arg;
    char text[300];
    size_t len;

    /* A file that is written and given its mode tells of both: how often does not matter. */
    snprintf(text, sizeof(text), "%c%s ", letters[kind], file != NULL ? file : "");
    len = strlen(text);
    if (s->len >= len && strcmp(s->log + s->len - len, text) == 0)
        return;
    if (s->len < sizeof(s->log) - 300) {
        memcpy(s->log + s->len, text, len + 1);
        s->len += len;
    }
}

/* Reads events until nothing comes for a moment, the first one within a long time. */
static void gather(struct fixture *f, struct seen *s)
{
    int wait = ccs_wait_scaled(CCS_WAIT_DEFAULT);

    memset(s, 0, sizeof(*s));
    for (;;) {
        struct pollfd fd = {.fd = ccs_store_watch_fd(f->store), .events = POLLIN};

        if (fd.fd < 0 || poll(&fd, 1, wait) <= 0)
            return;
        ccs_store_watch_read(f->store, on_event, s);
        wait = s->len > 0 ? 20 : wait;
    }
}

static void expect_events(struct fixture *f, const char *expected)
{
    struct seen s;

    gather(f, &s);
    assert_string_equal(s.log, expected);
}

static void test_watch(void **state)
{
    struct fixture *f = *state;
    char path[512];
    int fd;

    assert_int_equal(ccs_store_watch_fd(f->store), -1);
    ccs_tmp_print(f->root, "old.pfx", "x");
    ccs_tmp_print(f->tmp.path, "beside", "x");
    assert_int_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);

    /* What is being written counts when it is closed; other names never. */
    fd = open(in_root(f, "new.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "x", 1), 1);
    ccs_tmp_print(f->root, "other.txt", "x");
    ccs_tmp_mkdir(f->root, "folder.pfx");
    ccs_tmp_print(f->root, "mark.pfx", "x");
    expect_events(f, "+mark.pfx ");
    close(fd);
    expect_events(f, "+new.pfx ");

    ccs_tmp_replace(f->root, "old.pfx", "yy", 2);
    expect_events(f, "+old.pfx ");
    ccs_tmp_write(f->root, "old.pfx", "zzz", 3);
    expect_events(f, "+old.pfx ");

    assert_int_equal(
        rename(in_root(f, "old.pfx"), ccs_tmp_join(path, sizeof(path), f->root, "OTHER.Pfx")), 0);
    expect_events(f, "-old.pfx +OTHER.Pfx ");
    ccs_tmp_unlink(f->root, "OTHER.Pfx");
    expect_events(f, "-OTHER.Pfx ");

    ccs_tmp_join(path, sizeof(path), f->tmp.path, "beside");
    assert_int_equal(link(path, in_root(f, "hard.pfx")), 0);
    expect_events(f, "+hard.pfx ");
    assert_int_equal(symlink("mark.pfx", in_root(f, "soft.pfx")), 0);
    expect_events(f, "+soft.pfx ");
    assert_int_equal(chmod(in_root(f, "mark.pfx"), 0600), 0);
    expect_events(f, "+mark.pfx ");
    assert_int_equal(rename(in_root(f, "mark.pfx"), path), 0);
    expect_events(f, "-mark.pfx ");
    /* Permissions of the folder may have made any file readable. */
    assert_int_equal(chmod(f->root, 0755), 0);
    expect_events(f, "? ");
}

static void test_watch_restarted(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 5; i++) {
        assert_int_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);
        ccs_tmp_print(f->root, "a.pfx", "x");
        expect_events(f, "+a.pfx ");
    }
    /* Nothing to say is no error, and does not wait. */
    ccs_store_watch_read(f->store, on_event, NULL);
}

static void test_watch_root(void **state)
{
    struct fixture *f = *state;
    struct seen s;
    char aside[300];

    ccs_tmp_join(aside, sizeof(aside), f->tmp.path, "aside");
    assert_int_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);
    assert_int_equal(rename(f->root, aside), 0);
    expect_events(f, "! ");
    assert_int_equal(ccs_store_watch_fd(f->store), -1);
    assert_int_not_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);
    assert_int_equal(rename(aside, f->root), 0);
    assert_int_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);
    ccs_tmp_print(f->root, "a.pfx", "x");
    expect_events(f, "+a.pfx ");

    ccs_tmp_unlink(f->root, "a.pfx");
    assert_int_equal(rmdir(f->root), 0);
    gather(f, &s);
    assert_non_null(strchr(s.log, '!'));
    assert_int_equal(ccs_store_watch_fd(f->store), -1);
}

static void test_watch_many(void **state)
{
    struct fixture *f = *state;
    struct seen s;
    char name[64];
    size_t came = 0;

    assert_int_equal(ccs_store_watch_start(f->store, NULL), CCS_OK);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "host%d.pfx", i);
        ccs_tmp_print(f->root, name, "x");
    }
    gather(f, &s);
    for (const char *p = s.log; (p = strchr(p, '+')) != NULL; p++)
        came++;
    assert_int_equal(came, 2000);
}

/* The kernel's queue is shortened where that is allowed, in a user namespace of its own. */
static void overflow(struct fixture *f)
{
    static struct seen s;
    unsigned long most = 0;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    char name[64];
    int fds[2];

    MUST(limit != NULL && fscanf(limit, "%lu", &most) == 1);
    fclose(limit);
    if (most > 20000)
        _exit(77);
    snprintf(name, sizeof(name), "a.pfx");
    for (int i = 0; i < 2; i++) {
        fds[i] = open(in_root(f, i == 0 ? "a.pfx" : "b.pfx"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        MUST(fds[i] >= 0);
    }
    MUST(ccs_store_watch_start(f->store, NULL) == CCS_OK);
    /* Equal events in a row are merged, so two files take turns. */
    for (unsigned long i = 0; i < most + 10; i++)
        MUST(fchmod(fds[i % 2], 0644) == 0);
    for (int i = 0; i < 1000 && strchr(s.log, '?') == NULL; i++) {
        s.len = 0;
        ccs_store_watch_read(f->store, on_event, &s);
    }
    MUST(strchr(s.log, '?') != NULL);
}

static void test_watch_overflow(void **state)
{
    in_child(overflow, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locations),
        cmocka_unit_test_setup_teardown(test_relative_path_and_slashes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_regular_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_openat2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overwritten_while_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_exchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unmounted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mounted_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_restarted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_overflow, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
