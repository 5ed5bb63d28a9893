/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCSCTL_INSPECT_H
#define CCSCTL_INSPECT_H

#include <jansson.h>

#include "settings.h"

/*
 * Reads one file as a server would and says what came of it:
 *
 *   file      its path as it was given
 *   result    "ok", or the reason's name as ccs_code_name() has it
 *   reason    one sentence; null if ok
 *   warnings  sentences about what is odd although the file can be served
 *   pairs     one object per certificate with its key; empty unless ok
 *     key_type, key_bits, names, issuer, not_before, not_after (ISO 8601, UTC), chain_length,
 *     fingerprint (SHA-256 of the certificate, hex), legacy (weak algorithms the file is made with)
 *
 * Text that came from the file is printable. New, or NULL: no memory.
 */
json_t *ctl_inspect(const char *path, const struct ccs_settings *settings);

#endif
