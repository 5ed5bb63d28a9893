/* SPDX-License-Identifier: Apache-2.0 */
#include "logon.h"

int64_t agent_logon_pause(const struct agent_logon *logon, int64_t now)
{
    const int64_t refused = atomic_load(&logon->refused_at);

    if (refused == 0 || now - refused >= AGENT_LOGON_PAUSE_MS)
        return 0;
    return AGENT_LOGON_PAUSE_MS - (now - refused);
}

enum agent_logon_answer agent_logon_begin(struct agent_logon *logon, int32_t pid, int64_t now)
{
    int64_t begun = atomic_load(&logon->begun_at);

    if (agent_logon_pause(logon, now) > 0)
        return AGENT_LOGON_HELD;
    if (begun != 0 && now - begun < AGENT_LOGON_LEASE_MS)
        return AGENT_LOGON_WAIT;
    /* Who died in the middle of it left begun_at behind; one of those who find it takes it over. */
    if (!atomic_compare_exchange_strong(&logon->begun_at, &begun, now == 0 ? 1 : now))
        return AGENT_LOGON_WAIT;
    atomic_store(&logon->holder, pid);
    /* Between the two looks another one may have been refused. */
    if (agent_logon_pause(logon, now) > 0) {
        agent_logon_release(logon, pid);
        return AGENT_LOGON_HELD;
    }
    return AGENT_LOGON_GO;
}

void agent_logon_finish(struct agent_logon *logon, enum agent_logon_end end, int64_t now)
{
    switch (end) {
    case AGENT_LOGON_ACCEPTED:
        atomic_store(&logon->refused_at, 0);
        atomic_fetch_add(&logon->accepted, 1);
        break;
    case AGENT_LOGON_REFUSED:
        atomic_store(&logon->refused_at, now == 0 ? 1 : now);
        atomic_fetch_add(&logon->refused, 1);
        break;
    case AGENT_LOGON_UNKNOWN:
        break;
    }
    atomic_store(&logon->holder, 0);
    atomic_store(&logon->begun_at, 0);
}

void agent_logon_release(struct agent_logon *logon, int32_t pid)
{
    if (atomic_compare_exchange_strong(&logon->holder, &pid, 0))
        atomic_store(&logon->begun_at, 0);
}
