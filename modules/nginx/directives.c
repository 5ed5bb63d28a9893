/* SPDX-License-Identifier: Apache-2.0 */

/* Prints the table of directives of docs/nginx.md from the table of settings. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum kind {
    KIND_LOCATION,
    KIND_FILE,
    KIND_TIME,
    KIND_COUNT,
    KIND_SIZE,
    KIND_RATE,
    KIND_CHOICE,
    KIND_HOST,
    KIND_SOCKET,
    KIND_USER
};
enum scope { SCOPE_STORE, SCOPE_SITE };

struct setting {
    const char *name;
    enum kind kind;
    enum scope scope;
    const char *def;
    int64_t min, max;
    const char *choices, *help;
};

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help)                               \
    {#name, KIND_##kind, SCOPE_##scope, def, min, max, choices, help},
static const struct setting settings[] = {
#include <ccs/settings.def>
};
#undef CCS_SETTING

static void print_value(const struct setting *s)
{
    static const char *const words[] = {
        [KIND_LOCATION] = "*folder*", [KIND_FILE] = "*file*", [KIND_TIME] = "*time*",
        [KIND_COUNT] = "*number*",    [KIND_SIZE] = "*size*", [KIND_RATE] = "*number*`/s`",
        [KIND_CHOICE] = "",           [KIND_HOST] = "*host*", [KIND_SOCKET] = "",
        [KIND_USER] = "*user*",
    };

    fputs(words[s->kind], stdout);
    for (const char *p = s->choices, *end; p != NULL; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, "|");
        printf("%s`%.*s`",
               p == s->choices                  ? ""
               : *end || s->kind == KIND_SOCKET ? ", "
                                                : " or ",
               (int)(end - p), p);
    }
    if (s->kind == KIND_SOCKET)
        fputs(" or *socket*", stdout);
}

static void print_limit(const struct setting *s, int64_t n)
{
    static const struct {
        int64_t size;
        const char *name;
    } times[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    if (s->kind == KIND_SIZE) {
        printf(n >= 1 << 30 ? "%" PRId64 "g" : "%" PRId64 "m", n >= 1 << 30 ? n >> 30 : n >> 20);
        return;
    }
    if (s->kind == KIND_COUNT || s->kind == KIND_RATE || n == 0) {
        printf(s->kind == KIND_RATE ? "%" PRId64 "/s" : "%" PRId64, n);
        return;
    }
    while (n % times[i].size != 0)
        i++;
    printf("%" PRId64 "%s", n / times[i].size, times[i].name);
}

/* In Markdown a word in angle brackets would be taken for HTML. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", stdout);
        else if (*text == '>')
            fputs("&gt;", stdout);
        else
            putchar(*text);
    }
}

int main(void)
{
    puts("| directive | default | meaning |\n|---|---|---|");
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        const struct setting *s = &settings[i];

        printf("| `ccs_%s` ", s->name);
        print_value(s);
        if (s->def)
            printf(" | `%s` | ", s->def);
        else
            fputs(" | – | ", stdout);
        print_text(s->help);
        if (s->kind == KIND_TIME || s->kind == KIND_COUNT || s->kind == KIND_SIZE ||
            s->kind == KIND_RATE) {
            fputs(" From ", stdout);
            print_limit(s, s->min);
            fputs(" to ", stdout);
            print_limit(s, s->max);
            putchar('.');
        }
        puts(s->scope == SCOPE_SITE ? " Per server. |" : " |");
    }
    return 0;
}
