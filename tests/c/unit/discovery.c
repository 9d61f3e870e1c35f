#include "common.h"

static plumline_endpoint *endpoint_of(const char *service, uint16_t port, const char *version) {
  plumline_endpoint_fields fields = PLUMLINE_ENDPOINT_FIELDS_INIT;
  plumline_endpoint *endpoint = NULL;
  fields.service = plumline_str_from(service);
  fields.host = S("127.0.0.1");
  fields.port = port;
  fields.version = plumline_str_from(version);
  OK(plumline_endpoint_new(&fields, &endpoint, &error));
  return endpoint;
}

static plumline_client *with_two(void) {
  plumline_client *plum = client_of("memory://", NULL);
  plumline_endpoint *both[] = {endpoint_of("orders", 1, "v1"), endpoint_of("orders", 2, "v2")};
  OK(plumline_client_publish(plum, S("orders"), (const plumline_endpoint *const *)both, 2, &error));
  plumline_endpoint_free(both[0]);
  plumline_endpoint_free(both[1]);
  return plum;
}

TEST(published_endpoints_are_discovered_and_filtered) {
  plumline_client *plum = with_two();
  plumline_endpoints *found = NULL;
  OK(plumline_client_discover(plum, S("orders"), NULL, &found, &error));
  CHECK(plumline_endpoints_count(found) == 2 && plumline_endpoints_at(found, 2) == NULL);
  plumline_endpoint *kept = plumline_endpoint_clone(plumline_endpoints_at(found, 0));
  plumline_endpoints_free(found);
  CHECK_STR(plumline_endpoint_service(kept), "orders");
  plumline_endpoint_free(kept);

  plumline_query query = PLUMLINE_QUERY_INIT;
  query.version = S("v2");
  OK(plumline_client_discover(plum, S("orders"), &query, &found, &error));
  CHECK(plumline_endpoints_count(found) == 1);
  CHECK_STR(plumline_endpoint_address(plumline_endpoints_at(found, 0)), "127.0.0.1:2");
  plumline_endpoints_free(found);
  query.version = S(""); /* given, and empty: endpoints without a version */
  OK(plumline_client_discover(plum, S("orders"), &query, &found, &error));
  CHECK(plumline_endpoints_count(found) == 0);
  plumline_endpoints_free(found);
  const plumline_field label = {S("env"), S("test")};
  query.version.data = NULL;
  query.protocol = S("http");
  query.labels = &label;
  query.label_count = 1;
  OK(plumline_client_discover(plum, S("orders"), &query, &found, &error));
  CHECK(plumline_endpoints_count(found) == 0);
  plumline_endpoints_free(found);

  plumline_strings *services = NULL;
  OK(plumline_client_services(plum, &services, &error));
  CHECK(plumline_strings_count(services) == 1 && plumline_strings_at(services, 1).data == NULL);
  CHECK_STR(plumline_strings_at(services, 0), "orders");
  plumline_strings_free(services);
  OK(plumline_client_clear_cache(plum, &error));
  OK(plumline_client_publish(plum, S("orders"), NULL, 0, &error));
  OK(plumline_client_discover(plum, S("orders"), NULL, &found, &error));
  CHECK(plumline_endpoints_count(found) == 0);
  plumline_endpoints_free(found);
  done_with(plum);
}

TEST(pick_is_reported_once) {
  plumline_client *plum = with_two();
  plumline_pick *pick = NULL;
  plumline_query query = PLUMLINE_QUERY_INIT;
  query.version = S("v1");
  OK(plumline_client_pick(plum, S("orders"), &query, &pick, &error));
  CHECK_STR(plumline_endpoint_address(plumline_pick_endpoint(pick)), "127.0.0.1:1");
  CHECK(plumline_pick_is_stale(pick) == 0);
  plumline_pick_failure(pick);
  plumline_pick_success(pick); /* too late */
  plumline_pick_free(pick);
  OK(plumline_client_pick(plum, S("orders"), NULL, &pick, &error));
  plumline_pick_free(pick); /* neutral */
  plumline_stats *stats = NULL;
  double number = -1;
  OK(plumline_client_stats(plum, &stats, &error));
  OK(plumline_stats_number(stats, S("/services/orders/endpoints/127.0.0.1:1/failures"), &number, &error));
  CHECK(number == 1);
  OK(plumline_stats_number(stats, S("/services/orders/picks"), &number, &error));
  CHECK(number == 2);
  OK(plumline_stats_number(stats, S("/services/orders/stale"), &number, &error));
  CHECK(number == 0);
  CHECK(check_holds(plumline_stats_json(stats).data, "\"unreported\":1"));
  REFUSED("no figure at \"/nothing\"", plumline_stats_number(stats, S("/nothing"), &number, &error));
  plumline_stats_free(stats);
  FAILS(PLUMLINE_NO_ENDPOINT, "did you mean \"orders\"?", plumline_client_pick(plum, S("ordrs"), NULL, &pick, &error));
  CHECK(pick == NULL);
  done_with(plum);
}

TEST(explain_gives_reasons) {
  plumline_client *plum = with_two();
  plumline_explanation *why = NULL;
  plumline_query query = PLUMLINE_QUERY_INIT;
  query.version = S("v2");
  OK(plumline_client_explain(plum, S("orders"), &query, &why, &error));
  CHECK_STR(plumline_explanation_query(why), "\"orders\" version=v2");
  CHECK(check_holds(plumline_explanation_summary(why).data, "1 of 2 endpoints"));
  CHECK(plumline_explanation_source(why).len > 0);
  CHECK(check_holds(plumline_explanation_text(why).data, "filtered (version v1)"));
  CHECK(plumline_explanation_usable(why) == 1 && plumline_explanation_count(why) == 2);
  const plumline_verdict *verdict = plumline_explanation_at(why, 0);
  CHECK_STR(plumline_verdict_address(verdict), "127.0.0.1:1");
  CHECK_STR(plumline_endpoint_version(plumline_verdict_endpoint(verdict)), "v1");
  CHECK(plumline_verdict_is_usable(verdict) == 0 && plumline_verdict_reason_count(verdict) == 1);
  CHECK_STR(plumline_verdict_reason_at(verdict, 0), "filtered (version v1)");
  CHECK(plumline_verdict_reason_at(verdict, 1).data == NULL && plumline_verdict_reason_at(verdict, SIZE_MAX).data == NULL);
  CHECK(plumline_verdict_ewma_ms(verdict) < 0 && plumline_verdict_success(verdict) == 1);
  CHECK(plumline_verdict_in_flight(verdict) == 0 && plumline_verdict_weight(verdict) == 1);
  CHECK(plumline_explanation_at(why, 2) == NULL);
  plumline_explanation_free(why);
  done_with(plum);
}

TEST(wait_for_times_out) {
  plumline_client *plum = with_two();
  OK(plumline_client_wait_for(plum, S("orders"), NULL, 1000, &error));
  FAILS(PLUMLINE_TIMEOUT, "nothing registered as \"nobody\"",
        plumline_client_wait_for(plum, S("nobody"), NULL, 50, &error));
  done_with(plum);
}

TEST(watch_starts_with_snapshot_and_reports_changes) {
  plumline_client *plum = with_two();
  plumline_watch *watch = NULL, *all = NULL;
  plumline_change *change = NULL;
  OK(plumline_client_watch(plum, S("orders"), &watch, &error));
  OK(plumline_watch_next(watch, -1, &change, &error));
  CHECK(plumline_change_kind(change) == PLUMLINE_CHANGE_SNAPSHOT);
  CHECK_STR(plumline_change_kind_name(change), "snapshot");
  CHECK_STR(plumline_change_service(change), "orders");
  CHECK(plumline_endpoints_count(plumline_change_endpoints(change)) == 2);
  plumline_change_free(change);
  OK(plumline_watch_next(watch, 20, &change, &error));
  CHECK(change == NULL); /* nothing happened */

  plumline_endpoint *other = endpoint_of("orders", 3, "v3");
  OK(plumline_client_publish(plum, S("orders"), (const plumline_endpoint *const *)&other, 1, &error));
  plumline_endpoint_free(other);
  OK(plumline_watch_next(watch, 5000, &change, &error));
  CHECK(plumline_change_kind(change) == PLUMLINE_CHANGE_CHANGED);
  CHECK(plumline_endpoints_count(plumline_change_added(change)) == 1);
  CHECK(plumline_endpoints_count(plumline_change_removed(change)) == 2);
  CHECK(plumline_endpoints_count(plumline_change_updated(change)) == 0);
  plumline_change_free(change);

  OK(plumline_client_watch_all(plum, &all, &error));
  OK(plumline_watch_next(all, 5000, &change, &error));
  CHECK_STR(plumline_change_service(change), "orders");
  plumline_change_free(change);
  plumline_watch_close(watch);
  plumline_watch_close(watch);
  FAILS(PLUMLINE_CLOSED, "closed", plumline_watch_next(watch, -1, &change, &error));
  plumline_watch_free(watch);
  done_with(plum);
  FAILS(PLUMLINE_CLOSED, "closed", plumline_watch_next(all, -1, &change, &error));
  plumline_watch_free(all);
}
