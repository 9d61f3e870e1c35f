#include "common.h"

#include <pthread.h>

enum { THREADS = 32, ROUNDS = 40 };

static plumline_client *plum;
static plumline_service *orders;
static int closed_ends;

/* Every kind of use, by every thread, of the same client. */
static void *use(void *argument) {
  for (int round = 0; round < ROUNDS; ++round) {
    plumline_request get = get_of(S("orders"), S("/x"));
    plumline_response *reply = NULL;
    plumline_pick *pick = NULL;
    plumline_endpoints *endpoints = NULL;
    plumline_stats *stats = NULL;
    OK(plumline_client_call(plum, &get, &reply, &error));
    CHECK_STR(plumline_response_header(reply, S("x-twice")), "1");
    plumline_response_free(reply);
    OK(plumline_service_pick(orders, &pick, &error));
    CHECK(plumline_endpoint_address(plumline_pick_endpoint(pick)).len > 0);
    plumline_pick_success(pick);
    plumline_pick_free(pick);
    OK(plumline_client_discover(plum, S("orders"), NULL, &endpoints, &error));
    CHECK(plumline_endpoints_count(endpoints) == 1);
    plumline_endpoints_free(endpoints);
    OK(plumline_client_stats(plum, &stats, &error));
    plumline_stats_free(stats);
  }
  return argument;
}

TEST(client_is_used_by_32_threads) {
  pthread_t threads[THREADS];
  plum = client_of_server(NULL);
  OK(plumline_client_service(plum, S("orders"), NULL, &orders, &error));
  for (int thread = 0; thread < THREADS; ++thread) CHECK(pthread_create(&threads[thread], NULL, use, NULL) == 0);
  for (int thread = 0; thread < THREADS; ++thread) CHECK(pthread_join(threads[thread], NULL) == 0);
  plumline_stats *stats = NULL;
  double calls = 0;
  OK(plumline_client_stats(plum, &stats, &error));
  OK(plumline_stats_number(stats, S("/services/orders/calls"), &calls, &error));
  CHECK(calls == THREADS * ROUNDS);
  plumline_stats_free(stats);
  plumline_service_free(orders);
  done_with(plum);
}

/* Half of them say that it went well, half that it did not; the first word counts. */
static void *report(void *pick) {
  static int reporters;
  const plumline_endpoint *endpoint = plumline_pick_endpoint(pick);
  if (__atomic_add_fetch(&reporters, 1, __ATOMIC_SEQ_CST) % 2) plumline_pick_success(pick);
  else plumline_pick_failure(pick);
  CHECK_STR(plumline_endpoint_address(endpoint), "10.0.0.1:1");
  CHECK(plumline_pick_is_stale(pick) == 0);
  return NULL;
}

TEST(pick_is_shared_by_threads) {
  pthread_t threads[THREADS];
  plumline_pick *pick = NULL;
  plumline_stats *stats = NULL;
  double number = -1;
  plum = client_of("static://10.0.0.1:1", NULL);
  OK(plumline_client_pick(plum, S("orders"), NULL, &pick, &error));
  for (int thread = 0; thread < THREADS; ++thread)
    CHECK(pthread_create(&threads[thread], NULL, report, pick) == 0);
  for (int thread = 0; thread < THREADS; ++thread) CHECK(pthread_join(threads[thread], NULL) == 0);
  plumline_pick_free(pick);
  OK(plumline_client_stats(plum, &stats, &error));
  OK(plumline_stats_number(stats, S("/services/orders/unreported"), &number, &error));
  CHECK(number == 0);
  plumline_stats_free(stats);
  done_with(plum);
}

static void *use_until_closed(void *argument) {
  plumline_kind ended = PLUMLINE_OK;
  while (ended == PLUMLINE_OK) {
    plumline_request get = get_of(S("orders"), S("/x"));
    plumline_response *reply = NULL;
    ended = plumline_client_call(plum, &get, &reply, NULL);
    plumline_response_free(reply);
  }
  CHECK(ended == PLUMLINE_CLOSED);
  __atomic_add_fetch(&closed_ends, 1, __ATOMIC_SEQ_CST);
  return argument;
}

static int is_busy(void *data) { return server_requests() > *(unsigned *)data + 100; }

TEST(close_while_other_threads_call) {
  pthread_t threads[THREADS];
  unsigned before = server_requests();
  plum = client_of_server(NULL);
  for (int thread = 0; thread < THREADS; ++thread)
    CHECK(pthread_create(&threads[thread], NULL, use_until_closed, NULL) == 0);
  CHECK(check_until(is_busy, &before));
  OK(plumline_client_close(plum, 0, &error));
  for (int thread = 0; thread < THREADS; ++thread) CHECK(pthread_join(threads[thread], NULL) == 0);
  CHECK(closed_ends == THREADS);
  plumline_client_free(plum);
}

static void *wait_for_change(void *watch) {
  plumline_change *change = NULL;
  FAILS(PLUMLINE_CLOSED, "closed", plumline_watch_next((plumline_watch *)watch, -1, &change, &error));
  return NULL;
}

TEST(closing_a_watch_ends_its_wait) {
  pthread_t waiting;
  plumline_watch *watch = NULL;
  plum = client_of("static://10.0.0.1:1", NULL);
  plumline_change *present = NULL;
  OK(plumline_client_watch(plum, S("orders"), &watch, &error));
  OK(plumline_watch_next(watch, -1, &present, &error));
  plumline_change_free(present);
  CHECK(pthread_create(&waiting, NULL, wait_for_change, watch) == 0);
  plumline_watch_close(watch);
  CHECK(pthread_join(waiting, NULL) == 0);
  plumline_watch_free(watch);
  done_with(plum);
}
