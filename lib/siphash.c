/* SPDX-License-Identifier: Apache-2.0 */
#include "siphash.h"

#include "base.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64 - b));
}

static inline void rounds(struct state *s, unsigned n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 = rotl(s->v0, 32) + s->v3;
        s->v2 += s->v1;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
    }
}

/* Little-endian on every machine, so that a hash means the same wherever it is looked at. */
static inline uint64_t load(const uint8_t *p, size_t len)
{
    uint64_t x = 0;

    for (size_t i = 0; i < len; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static inline CCS_WARM uint64_t hash(const struct ccs_siphash_key *key, const void *data,
                                     size_t len, unsigned c_rounds, unsigned d_rounds)
{
    struct state s = {key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d,
                      key->k0 ^ 0x6c7967656e657261, key->k1 ^ 0x7465646279746573};
    const uint8_t *p = data;
    size_t left = len;
    uint64_t m;

    for (; left >= 8; p += 8, left -= 8) {
        m = load(p, 8);
        s.v3 ^= m;
        rounds(&s, c_rounds);
        s.v0 ^= m;
    }
    m = load(p, left) | (uint64_t)(len & 0xff) << 56;
    s.v3 ^= m;
    rounds(&s, c_rounds);
    s.v0 ^= m;
    s.v2 ^= 0xff;
    rounds(&s, d_rounds);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

CCS_WARM uint64_t ccs_siphash(const struct ccs_siphash_key *key, const void *data, size_t len)
{
    return hash(key, data, len, 1, 3);
}

uint64_t ccs_siphash_rounds(const struct ccs_siphash_key *key, const void *data, size_t len,
                            unsigned c_rounds, unsigned d_rounds)
{
    return hash(key, data, len, c_rounds, d_rounds);
}
