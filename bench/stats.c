/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MAX     (64U * 1024 * 1024)
#define BOOTSTRAP_TURNS 2000

int ccs_samples_add(struct ccs_samples *s, double value)
{
    size_t size = s->size == 0 ? 1024 : s->size * 2;
    double *more;

    if (s->count == s->size) {
        if (size > SAMPLES_MAX)
            return -1;
        more = realloc(s->value, size * sizeof(*more));
        if (more == NULL)
            return -1;
        s->value = more;
        s->size = size;
    }
    s->value[s->count++] = value;
    return 0;
}

int ccs_samples_add_all(struct ccs_samples *s, const struct ccs_samples *more)
{
    for (size_t i = 0; i < more->count; i++) {
        if (ccs_samples_add(s, more->value[i]) != 0)
            return -1;
    }
    return 0;
}

void ccs_samples_clear(struct ccs_samples *s)
{
    free(s->value);
    memset(s, 0, sizeof(*s));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double ccs_samples_percentile(struct ccs_samples *s, double share)
{
    size_t rank;

    if (s->count == 0)
        return 0;
    qsort(s->value, s->count, sizeof(s->value[0]), compare);
    rank = (size_t)(share * (double)s->count);
    return s->value[rank < s->count ? rank : s->count - 1];
}

double ccs_samples_median(struct ccs_samples *s)
{
    if (s->count == 0)
        return 0;
    qsort(s->value, s->count, sizeof(s->value[0]), compare);
    return (s->value[(s->count - 1) / 2] + s->value[s->count / 2]) / 2;
}

/* xorshift64: repeatable, and good enough to draw groups with. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct ccs_estimate ccs_samples_estimate(const struct ccs_samples *s, size_t group)
{
    size_t groups = group > 0 ? s->count / group : 0;
    struct ccs_samples medians = {0}, turn = {0};
    struct ccs_estimate out = {0, 0, 0};
    uint64_t state = 0x9e3779b97f4a7c15;

    if (ccs_samples_add_all(&turn, s) == 0)
        out.value = out.low = out.high = ccs_samples_median(&turn);
    for (size_t i = 0; i < BOOTSTRAP_TURNS && groups > 1; i++) {
        turn.count = 0;
        for (size_t g = 0; g < groups; g++) {
            size_t from = draw(&state) % groups * group;

            for (size_t k = 0; k < group; k++)
                ccs_samples_add(&turn, s->value[from + k]);
        }
        ccs_samples_add(&medians, ccs_samples_median(&turn));
    }
    if (medians.count > 0) {
        out.low = ccs_samples_percentile(&medians, 0.025);
        out.high = ccs_samples_percentile(&medians, 0.975);
    }
    ccs_samples_clear(&medians);
    ccs_samples_clear(&turn);
    return out;
}
