/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that all workers share: one zone for each of the modules, kept over a reload. */
#include "ngx_ccs.h"

/* Of a zone beside what is asked for: nginx's own records of its pages, and some room. */
#define NGX_CCS_ZONE_EXTRA_PAGES 32

/* What zone->data points to: one per cycle. */
typedef struct {
    void *mem;
    size_t size;
    struct ccs_shared *shared;
} ngx_ccs_zone_t;

static void ngx_ccs_zone_cleanup(void *data)
{
    ngx_ccs_zone_t *zone = data;

    ccs_shared_free(zone->shared);
}

/* A reload can still fail after this, so what an older cycle left here is only taken over. */
static ngx_int_t ngx_ccs_zone_init(ngx_shm_zone_t *shm_zone, void *old)
{
    ngx_ccs_zone_t *zone = shm_zone->data, *before = old;
    ngx_slab_pool_t *slab = (ngx_slab_pool_t *)shm_zone->shm.addr;
    struct ccs_error err;
    int rv;

    if (before != NULL && before->size == zone->size) {
        zone->mem = before->mem;
        rv = ccs_shared_attach(zone->mem, zone->size, &zone->shared, &err);
    } else {
        zone->mem = ngx_slab_alloc(slab, zone->size);
        if (zone->mem == NULL) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "no room for %uz octets in zone \"%V\"", zone->size, &shm_zone->shm.name);
            return NGX_ERROR;
        }
        rv = ccs_shared_init(zone->mem, zone->size, &zone->shared, &err);
    }
    if (rv == CCS_OK)
        return NGX_OK;
    zone->shared = NULL;
    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0, "zone \"%V\" cannot be used: %s",
                  &shm_zone->shm.name, err.text);
    return NGX_ERROR;
}

/* The largest that any of the servers asks for serves all of them. */
static size_t ngx_ccs_zone_size(ngx_array_t *sites)
{
    ngx_ccs_conf_t **conf = sites->elts;
    int64_t size = 0;

    for (ngx_uint_t i = 0; i < sites->nelts; i++)
        size = ngx_max(size, ccs_config_number(conf[i]->config, "cache_size"));
    return ngx_align((size_t)size, ngx_pagesize);
}

ngx_int_t ngx_ccs_zone_add(ngx_conf_t *cf, ngx_array_t *sites, const char *name, void *tag,
                           ngx_shm_zone_t **out)
{
    ngx_pool_cleanup_t *cleanup;
    ngx_shm_zone_t *shm_zone;
    ngx_ccs_zone_t *zone;
    ngx_str_t text;
    size_t size, pages;

    *out = NULL;
    if (sites->nelts == 0)
        return NGX_OK;
    size = ngx_ccs_zone_size(sites);
    pages = size / ngx_pagesize + NGX_CCS_ZONE_EXTRA_PAGES;
    text.data = (u_char *)(uintptr_t)name;
    text.len = ngx_strlen(name);
    cleanup = ngx_pool_cleanup_add(cf->cycle->pool, sizeof(ngx_ccs_zone_t));
    shm_zone = ngx_shared_memory_add(
        cf, &text, pages * (ngx_pagesize + sizeof(ngx_slab_page_t)) + sizeof(ngx_slab_pool_t), tag);
    if (cleanup == NULL || shm_zone == NULL)
        return NGX_ERROR;
    zone = cleanup->data;
    ngx_memzero(zone, sizeof(*zone));
    zone->size = size;
    cleanup->handler = ngx_ccs_zone_cleanup;
    shm_zone->init = ngx_ccs_zone_init;
    shm_zone->data = zone;
    *out = shm_zone;
    return NGX_OK;
}

void ngx_ccs_zone_use(ngx_shm_zone_t *shm_zone, ngx_array_t *sites)
{
    ngx_ccs_zone_t *zone = shm_zone != NULL ? shm_zone->data : NULL;
    ngx_ccs_conf_t **conf = sites->elts;

    for (ngx_uint_t i = 0; zone != NULL && i < sites->nelts; i++)
        ccs_config_set_shared(conf[i]->config, zone->shared);
}
