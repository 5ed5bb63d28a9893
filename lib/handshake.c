/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "acquire.h"
#include "base.h"
#include "credential.h"
#include "error.h"
#include "handshake.h"
#include "tls.h"

static pthread_once_t handshake_once = PTHREAD_ONCE_INIT;
static int handshake_ctx_index = -1;
static int handshake_ssl_index = -1;

static void handshake_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                               void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    free(ptr);
}

static CCS_WARM void handshake_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                                        long argl, void *argp)
{
    struct ccs_handshake *handshake = ptr;

    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    if (handshake == NULL)
        return;
    ccs_handshake_clear(handshake);
    handshake->release(handshake);
}

/* A copy made by SSL_dup() starts its own handshake: with the same record, it would be freed twice.
 */
static int handshake_ssl_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int idx,
                             long argl, void *argp)
{
    (void)to, (void)from, (void)idx, (void)argl, (void)argp;
    *ptr = NULL;
    return 1;
}

static void handshake_init(void)
{
    ERR_set_mark();
    handshake_ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, handshake_ctx_free);
    handshake_ssl_index = SSL_get_ex_new_index(0, NULL, NULL, handshake_ssl_dup,
                                               handshake_ssl_free);
    ERR_pop_to_mark();
}

CCS_WARM struct ccs_attachment *ccs_attachment_get(const SSL_CTX *ctx)
{
    return handshake_ctx_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, handshake_ctx_index);
}

CCS_WARM struct ccs_handshake *ccs_handshake_get(const SSL *ssl)
{
    return handshake_ssl_index < 0 ? NULL : SSL_get_ex_data(ssl, handshake_ssl_index);
}

CCS_WARM int ccs_handshake_adopt(SSL *ssl, struct ccs_handshake *handshake,
                                 void (*release)(struct ccs_handshake *handshake))
{
    handshake->ssl = ssl;
    handshake->release = release;
    return SSL_set_ex_data(ssl, handshake_ssl_index, handshake) == 1 ? CCS_OK : CCS_ENOMEM;
}

static void handshake_release(struct ccs_handshake *handshake)
{
    free(handshake);
}

struct ccs_handshake *ccs_handshake_new(SSL *ssl)
{
    struct ccs_handshake *handshake = calloc(1, sizeof(*handshake));

    if (handshake != NULL && ccs_handshake_adopt(ssl, handshake, handshake_release) != CCS_OK) {
        free(handshake);
        return NULL;
    }
    return handshake;
}

CCS_WARM void ccs_handshake_clear(struct ccs_handshake *handshake)
{
    struct ccs_request *request = handshake->request;

    handshake->request = NULL;
    if (request != NULL)
        ccs_cancel(request);
    if (handshake->decided)
        ccs_cred_unref(handshake->answer.cred);
    handshake->answer.cred = NULL;
    handshake->decided = handshake->barred = 0;
    handshake->site = NULL;
}

/* Refuses for good, fallback or not: a session could otherwise pass for another's. */
static void handshake_bar(struct ccs_handshake *handshake, const char *why)
{
    if (handshake->decided)
        ccs_cred_unref(handshake->answer.cred);
    handshake->answer.cred = NULL;
    handshake->answer.result = CCS_RESULT_NONE;
    handshake->answer.code = ccs_error_set(&handshake->answer.error, CCS_ESSL, "%s", why);
    handshake->decided = 1;
    handshake->barred = 1;
}

static CCS_WARM int handshake_session_id(const struct ccs_handshake *handshake, uint8_t *out)
{
    const struct ccs_answer *answer = &handshake->answer;

    if (answer->code == CCS_OK && strcmp(answer->cred->stem, handshake->name) == 0) {
        ccs_site_session_id_of(handshake->site, answer->cred->name_digest, out);
        return CCS_OK;
    }
    return ccs_site_session_id(handshake->site, answer->code != CCS_OK, handshake->name,
                               handshake->name_len, out);
}

CCS_WARM int ccs_handshake_decide(struct ccs_handshake *handshake)
{
    uint8_t id[CCS_SITE_SESSION_ID_SIZE];

    handshake->decided = 1;
    /* Where there is nothing to fall back to, no session comes of it. */
    if (handshake->answer.code != CCS_OK && handshake->site->unknown_name != CCS_UNKNOWN_FALLBACK)
        return handshake->answer.code;
    if (handshake_session_id(handshake, id) != CCS_OK ||
        SSL_set_session_id_context(handshake->ssl, id, sizeof(id)) != 1)
        handshake_bar(handshake, "OpenSSL could not set a session id context");
    return handshake->answer.code;
}

/* Decides for a failure whose text is in answer.error. */
static int handshake_fail(struct ccs_handshake *handshake, int code)
{
    handshake->answer.code = code;
    handshake->answer.result = CCS_RESULT_NONE;
    handshake->answer.cred = NULL;
    return ccs_handshake_decide(handshake);
}

void ccs_handshake_pin(struct ccs_handshake *handshake, const struct ccs_answer *answer)
{
    handshake->request = NULL;
    handshake->answer.code = answer->code;
    handshake->answer.result = answer->result;
    handshake->answer.cred = NULL;
    if (answer->code == CCS_OK)
        handshake->answer.cred = ccs_cred_ref(answer->cred);
    else
        handshake->answer.error = answer->error;
    ccs_handshake_decide(handshake);
}

CCS_WARM int ccs_handshake_begin(struct ccs_handshake *handshake, const struct ccs_site *site,
                                 const char *name, size_t len)
{
    struct ccs_error *err = &handshake->answer.error;
    char shown[128];

    ccs_handshake_clear(handshake);
    handshake->site = site;
    handshake->unnamed = len == 0;
    handshake->name_len = 0;
    if (len == 0) {
        handshake->name_len = site->default_len;
        memcpy(handshake->name, site->default_name, site->default_len + 1);
    } else if (ccs_name_canonical(name, len, handshake->name, &handshake->name_len) != CCS_OK) {
        handshake->name_len = 0;
    }
    if (handshake->name_len != 0) {
        if (site->ccs != NULL)
            return CCS_OK;
        return handshake_fail(
            handshake, ccs_error_set(err, CCS_EUNAVAIL, "no store is open for this server yet"));
    }
    if (handshake->unnamed)
        ccs_error_set(err, CCS_ENAME,
                      "the client sent no server name; set default_name to serve such clients");
    else
        ccs_error_set(err, CCS_ENAME, "the client asked for \"%s\", which no store can hold",
                      ccs_printable(shown, sizeof(shown), name, len));
    return handshake_fail(handshake, CCS_ENAME);
}

void ccs_handshake_wait(struct ccs_handshake *handshake, const struct ccs_attachment *attachment,
                        const char *name, size_t len)
{
    const struct ccs_thread_host *host = &attachment->thread;
    struct ccs *ccs = attachment->site->ccs;

    if (ccs_handshake_begin(handshake, attachment->site, name, len) != CCS_OK)
        return;
    if (host->acquire != NULL)
        host->acquire(handshake->ssl, ccs, handshake->name, handshake->name_len, &handshake->answer,
                      host->arg);
    else
        ccs_acquire(ccs, handshake->name, handshake->name_len, -1, &handshake->answer);
    ccs_handshake_decide(handshake);
}

static void handshake_ignore(const struct ccs_answer *answer, void *arg)
{
    (void)answer, (void)arg;
}

/* Answers from memory, and has a missing name loaded for the next client. */
static void handshake_recall(struct ccs_handshake *handshake)
{
    struct ccs_request *request = NULL;

    if (ccs_acquire_start_canonical(handshake->site->ccs, handshake->name, handshake->name_len,
                                    handshake_ignore, NULL, &handshake->answer,
                                    &request) != CCS_PENDING) {
        ccs_handshake_decide(handshake);
        return;
    }
    ccs_cancel(request);
    ccs_error_set(&handshake->answer.error, CCS_EUNAVAIL,
                  "\"%s\" was not in memory, and this handshake could not wait for it; it is being "
                  "loaded for the next one",
                  handshake->name);
    handshake_fail(handshake, CCS_EUNAVAIL);
}

/* Whether the name that OpenSSL took from the hello is the one that was asked for. */
static CCS_WARM int handshake_matches(const struct ccs_handshake *handshake, const char *sent)
{
    char name[CCS_STEM_SIZE];
    size_t len;

    /* Up to TLS 1.2 a resumed session brings its own name, and its session id context proves it. */
    if (SSL_session_reused(handshake->ssl) && SSL_version(handshake->ssl) < TLS1_3_VERSION)
        return 1;
    if (sent == NULL || sent[0] == '\0')
        return handshake->unnamed;
    if (handshake->name_len != 0 && strcmp(sent, handshake->name) == 0)
        return !handshake->unnamed;
    if (ccs_name_canonical(sent, strlen(sent), name, &len) != CCS_OK)
        return handshake->name_len == 0;
    return len == handshake->name_len && memcmp(name, handshake->name, len) == 0;
}

/* The handshake, if it is decided for the site in force and the name that was sent; or NULL. */
static CCS_WARM struct ccs_handshake *handshake_settled(SSL *ssl,
                                                        const struct ccs_attachment *attachment)
{
    struct ccs_handshake *handshake = ccs_handshake_get(ssl);

    return handshake != NULL && handshake->decided && handshake->site == attachment->site &&
                   handshake_matches(handshake, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name))
               ? handshake
               : NULL;
}

/* What this handshake is served with by the site in force; NULL: no memory. */
static struct ccs_handshake *handshake_settle(SSL *ssl, const struct ccs_attachment *attachment)
{
    struct ccs_handshake *handshake = handshake_settled(ssl, attachment);
    uint8_t id[CCS_SITE_SESSION_ID_SIZE];
    const char *sent;
    size_t len;

    if (handshake != NULL)
        return handshake;
    handshake = ccs_handshake_get(ssl);
    if (handshake == NULL)
        handshake = ccs_handshake_new(ssl);
    if (handshake == NULL)
        return NULL;
    sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    len = sent != NULL ? strlen(sent) : 0;

    if (SSL_session_reused(ssl)) {
        /* Nothing says that the session was this site's, or this name's. */
        ccs_handshake_clear(handshake);
        handshake->site = attachment->site;
        handshake_bar(handshake,
                      "the client resumed a session that was not made for this server name");
        return handshake;
    }
    if (attachment->blocking)
        ccs_handshake_wait(handshake, attachment, sent, len);
    else if (ccs_handshake_begin(handshake, attachment->site, sent, len) == CCS_OK)
        handshake_recall(handshake);
    /* The session of this handshake took its context before this site and name were known. */
    if (handshake_session_id(handshake, id) != CCS_OK ||
        SSL_SESSION_set1_id_context(SSL_get_session(ssl), id, sizeof(id)) != 1)
        handshake_bar(handshake, "OpenSSL could not set a session id context");
    return handshake;
}

static int handshake_alert(int code)
{
    return code == CCS_ENOTFOUND || code == CCS_ENAME ? SSL_AD_UNRECOGNIZED_NAME
                                                      : SSL_AD_INTERNAL_ERROR;
}

/* NULL: the handshake is refused, and *alert says how. */
static CCS_WARM struct ccs_handshake *
handshake_judge(SSL *ssl, const struct ccs_attachment *attachment, int *alert)
{
    static const struct ccs_answer no_memory = {
        .code = CCS_ENOMEM, .error = {.code = CCS_ENOMEM, .text = "no memory for a handshake"}};
    struct ccs_handshake *handshake = handshake_settle(ssl, attachment);
    const struct ccs_answer *answer = handshake != NULL ? &handshake->answer : &no_memory;

    if (answer->code == CCS_OK)
        return handshake;
    if (handshake != NULL && !handshake->barred &&
        attachment->site->unknown_name == CCS_UNKNOWN_FALLBACK &&
        SSL_CTX_get0_certificate(SSL_get_SSL_CTX(ssl)) != NULL) {
        handshake->answer.result = CCS_RESULT_FALLBACK;
        return handshake;
    }
    if (attachment->host.rejected != NULL)
        attachment->host.rejected(ssl, answer, attachment->host.arg);
    *alert = handshake_alert(answer->code);
    return NULL;
}

/* arg is the attachment of the SSL_CTX whose callback OpenSSL runs, be it still in force or not. */
static CCS_WARM int handshake_servername(SSL *ssl, int *alert, void *arg)
{
    const struct ccs_attachment *own = arg, *attachment;
    const struct ccs_handshake *handshake;
    int rv = SSL_TLSEXT_ERR_OK;

    if (own->host.next_servername != NULL) {
        rv = own->host.next_servername(ssl, alert, own->host.next_servername_arg);
        if (rv == SSL_TLSEXT_ERR_ALERT_FATAL)
            return rv;
    }
    attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));
    if (own->chosen != NULL)
        own->chosen(ssl, attachment);
    if (attachment == NULL || attachment->site == NULL)
        return rv;
    /* The usual case, in which nothing can fail. */
    handshake = handshake_settled(ssl, attachment);
    if (handshake == NULL || handshake->answer.code != CCS_OK) {
        ERR_set_mark();
        handshake = handshake_judge(ssl, attachment, alert);
        ERR_pop_to_mark();
    }
    if (handshake == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    if (attachment->thread.served != NULL)
        attachment->thread.served(ssl, &handshake->answer, attachment->thread.arg);
    return rv;
}

static CCS_WARM int handshake_attach(struct ccs_handshake *handshake,
                                     const struct ccs_attachment *attachment)
{
    const struct ccs_cred *cred = handshake->answer.cred;
    X509 *current = SSL_get_certificate(handshake->ssl);
    struct ccs_error err;
    int rv;

    /*
     * A second ClientHello may have had its first one's credential attached: it is right already,
     * or, where the server's own certificate was to be served now, beyond repair.
     */
    if (handshake->answer.code != CCS_OK)
        return current == SSL_CTX_get0_certificate(SSL_get_SSL_CTX(handshake->ssl));
    for (size_t i = 0; current != NULL && i < cred->pair_count; i++)
        if ((i == 0 ? cred->main.leaf : cred->pairs[i]->leaf) == current)
            return 1;

    rv = ccs_tls_use(cred, handshake->ssl, &err);
    if (rv == CCS_OK)
        return 1;
    ccs_cred_unref(handshake->answer.cred);
    handshake->answer.error = err;
    handshake_fail(handshake, rv);
    if (attachment->host.rejected != NULL)
        attachment->host.rejected(handshake->ssl, &handshake->answer, attachment->host.arg);
    return 0;
}

static CCS_WARM int handshake_cert(SSL *ssl, void *arg)
{
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));
    struct ccs_handshake *handshake;
    int alert, rv = 0;

    (void)arg;
    if (attachment == NULL || attachment->site == NULL)
        return 1;
    ERR_set_mark();
    handshake = handshake_judge(ssl, attachment, &alert);
    if (handshake != NULL)
        rv = handshake_attach(handshake, attachment);
    ERR_pop_to_mark();
    return rv;
}

int ccs_attachment_set(SSL_CTX *ctx, const struct ccs_attachment *attachment, struct ccs_error *err)
{
    struct ccs_attachment *own;

    if (pthread_once(&handshake_once, handshake_init) != 0 || handshake_ctx_index < 0 ||
        handshake_ssl_index < 0)
        return ccs_error_set(err, CCS_ENOMEM, "OpenSSL has no memory for application data");
    own = ccs_attachment_get(ctx);
    if (own == NULL) {
        own = calloc(1, sizeof(*own));
        if (own == NULL || SSL_CTX_set_ex_data(ctx, handshake_ctx_index, own) != 1) {
            free(own);
            return ccs_error_set(err, CCS_ENOMEM, "no memory to attach a site");
        }
    }
    *own = *attachment;
    if (attachment->site != NULL || !attachment->blocking) {
        SSL_CTX_set_tlsext_servername_callback(ctx, handshake_servername);
        SSL_CTX_set_tlsext_servername_arg(ctx, own);
    }
    if (attachment->site != NULL)
        SSL_CTX_set_cert_cb(ctx, handshake_cert, NULL);
    return CCS_OK;
}

const struct ccs_answer *ccs_ssl_answer(const SSL *ssl)
{
    const struct ccs_handshake *handshake = ccs_handshake_get(ssl);

    return handshake != NULL && handshake->decided ? &handshake->answer : NULL;
}
