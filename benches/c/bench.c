/*
 * Plumline from C, and libcurl: measured a round at a time.
 *
 *     bench-c call|boundary PORT
 *
 * Says the names of what it can measure as a JSON array, then measures one round of one of them for each line on stdin
 * that holds its index: {"p50": ..., "p99": ...}. Whoever asks (the bench program of this tree) decides the order, starts
 * the server at PORT and binds this process to a core.
 */
#define _POSIX_C_SOURCE 199309L

#include <curl/curl.h>
#include <plumline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATH "/items/7"
#define BODY 100
#define WARM_UP 2000
#define CALLS 20000
#define CROSSINGS 200000
#define ENDPOINTS 50

typedef void (*operation)(void);

typedef struct {
    const char *name;
    operation run;
} contender;

static plumline_client *plum;
static plumline_service *orders;
static plumline_service *three;
static CURL *curl;

/* A benchmark whose operations fail measures nothing. */
static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* === calls === */

static void read_and_free(plumline_kind kind, plumline_response *reply, plumline_error *error) {
    must(kind == PLUMLINE_OK, kind == PLUMLINE_OK ? "" : plumline_error_message(error));
    must(plumline_response_body(reply).len >= BODY, "a body");
    plumline_response_free(reply);
}

static void by_name(void) {
    plumline_request get = PLUMLINE_REQUEST_INIT;
    plumline_response *reply = NULL;
    plumline_error *error = NULL;
    get.service = PLUMLINE_STR("orders");
    get.path = PLUMLINE_STR(PATH);
    plumline_kind kind = plumline_client_call(plum, &get, &reply, &error);
    read_and_free(kind, reply, error);
}

static void bound(void) {
    plumline_request get = PLUMLINE_REQUEST_INIT;
    plumline_response *reply = NULL;
    plumline_error *error = NULL;
    get.path = PLUMLINE_STR(PATH);
    plumline_kind kind = plumline_service_call(orders, &get, &reply, &error);
    read_and_free(kind, reply, error);
}

typedef struct {
    char *data;
    size_t len;
} buffer;

static size_t keep(char *data, size_t size, size_t count, void *user_data) {
    buffer *body = user_data;
    char *grown = realloc(body->data, body->len + size * count);
    must(grown != NULL, "memory");
    body->data = grown;
    memcpy(body->data + body->len, data, size * count);
    body->len += size * count;
    return size * count;
}

static void with_curl(void) {
    buffer body = {NULL, 0};
    must(curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body) == CURLE_OK, "an option of curl");
    must(curl_easy_perform(curl) == CURLE_OK && body.len >= BODY, "a call by curl");
    free(body.data);
}

static void open_calls(const char *port) {
    char address[64], url[64];
    snprintf(address, sizeof address, "static://127.0.0.1:%s", port);
    snprintf(url, sizeof url, "http://127.0.0.1:%s" PATH, port);
    must(plumline_client_new(plumline_str_from(address), NULL, &plum, NULL) == PLUMLINE_OK, "a client");
    must(plumline_client_service(plum, PLUMLINE_STR("orders"), NULL, &orders, NULL) == PLUMLINE_OK, "a handle");
    curl = curl_easy_init();
    must(curl != NULL && curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK, "curl");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 1000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Microseconds of one: the median, and what one in a hundred exceeds. */
static void latencies(operation call, double *p50, double *p99) {
    static double samples[CALLS];
    for (int warming = 0; warming < WARM_UP; warming++) call();
    for (int sample = 0; sample < CALLS; sample++) {
        double began = now_ns();
        call();
        samples[sample] = (now_ns() - began) / 1e3;
    }
    qsort(samples, CALLS, sizeof *samples, by_size);
    *p50 = samples[CALLS / 2];
    *p99 = samples[CALLS * 99 / 100];
}

/* === crossings === */

static void empty(void) {
    must(!plumline_client_is_closed(plum), "an open client");
}

static void pick(void) {
    plumline_pick *chosen = NULL;
    must(plumline_service_pick(three, &chosen, NULL) == PLUMLINE_OK, "a pick");
    plumline_pick_success(chosen);
    plumline_pick_free(chosen);
}

static void discover(void) {
    plumline_endpoints *found = NULL;
    must(plumline_client_discover(plum, PLUMLINE_STR("fifty"), NULL, &found, NULL) == PLUMLINE_OK, "a list");
    must(plumline_endpoints_count(found) == ENDPOINTS, "all of it");
    plumline_endpoints_free(found);
}

static void publish(const char *service, size_t count) {
    plumline_endpoint *endpoints[ENDPOINTS];
    char host[16];
    for (size_t at = 0; at < count; at++) {
        plumline_endpoint_fields fields = PLUMLINE_ENDPOINT_FIELDS_INIT;
        snprintf(host, sizeof host, "10.0.0.%u", (unsigned)at + 1);
        fields.service = plumline_str_from(service);
        fields.host = plumline_str_from(host);
        fields.port = 80;
        must(plumline_endpoint_new(&fields, &endpoints[at], NULL) == PLUMLINE_OK, "an endpoint");
    }
    must(plumline_client_publish(plum, plumline_str_from(service), (const plumline_endpoint *const *)endpoints, count,
                                 NULL) == PLUMLINE_OK, "publishing");
    for (size_t at = 0; at < count; at++) plumline_endpoint_free(endpoints[at]);
}

static void open_crossings(void) {
    must(plumline_client_new(PLUMLINE_STR("memory://"), NULL, &plum, NULL) == PLUMLINE_OK, "a client");
    publish("three", 3);
    publish("fifty", ENDPOINTS);
    must(plumline_client_service(plum, PLUMLINE_STR("three"), NULL, &three, NULL) == PLUMLINE_OK, "a handle");
}

/* Nanoseconds of one, after as many to warm up. */
static void mean(operation crossing, double *p50, double *p99) {
    for (int round = 0; round < 2; round++) {
        double began = now_ns();
        for (int at = 0; at < CROSSINGS; at++) crossing();
        *p50 = *p99 = (now_ns() - began) / CROSSINGS;
    }
}

int main(int argc, char **argv) {
    static const contender calls[] = {
        {"plumline, by name", by_name}, {"plumline, bound handle", bound}, {"libcurl easy keep-alive", with_curl}};
    static const contender crossings[] = {
        {"empty call", empty}, {"pick and report", pick}, {"discover of 50", discover}};
    if (argc != 3) {
        fprintf(stderr, "usage: bench-c call|boundary PORT\n");
        return 2;
    }
    int are_calls = strcmp(argv[1], "call") == 0;
    const contender *contenders = are_calls ? calls : crossings;
    if (are_calls) {
        open_calls(argv[2]);
    } else {
        open_crossings();
    }
    printf("[\"%s\", \"%s\", \"%s\"]\n", contenders[0].name, contenders[1].name, contenders[2].name);
    fflush(stdout);
    int index;
    while (scanf("%d", &index) == 1) {
        double p50 = 0, p99 = 0;
        must(index >= 0 && index < 3, "an index");
        (are_calls ? latencies : mean)(contenders[index].run, &p50, &p99);
        printf("{\"p50\": %f, \"p99\": %f}\n", p50, p99);
        fflush(stdout);
    }
    plumline_service_free(orders);
    plumline_service_free(three);
    plumline_client_close(plum, 0, NULL);
    plumline_client_free(plum);
    curl_easy_cleanup(curl);
    return 0;
}
