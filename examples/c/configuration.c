/* Settings: for everything, for one service, for one call, and while the program runs.
 * `cc configuration.c $(pkg-config --cflags --libs plumline) && ./a.out` (needs no registry) */
#include <plumline.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program if something went wrong. */
static void check(plumline_kind went, plumline_error *error) {
  if (went == PLUMLINE_OK) return;
  fprintf(stderr, "%s\n", plumline_error_message(error));
  exit(1);
}

static void set(plumline_config *config, const char *key, const char *value) {
  plumline_error *error = NULL;
  const plumline_kind went = plumline_config_set(config, plumline_str_from(key), plumline_str_from(value), &error);
  check(went, error);
}

/* No server stands behind the addresses below: this answers in its place. */
static int32_t answer(void *user_data, const plumline_outgoing *request, const plumline_endpoint *endpoint,
                      plumline_response **response, plumline_error **error) {
  plumline_response_fields fields = PLUMLINE_RESPONSE_FIELDS_INIT;
  (void)user_data;
  fields.content = plumline_outgoing_header(request, PLUMLINE_STR("X-Team"));
  const plumline_kind made = plumline_response_new(&fields, endpoint, response, error);
  return made == PLUMLINE_OK ? PLUMLINE_SENT_ANSWERED : PLUMLINE_SENT_FAILED;
}

static void ask(plumline_client *plum) {
  plumline_request get = PLUMLINE_REQUEST_INIT;
  plumline_response *response = NULL;
  plumline_error *error = NULL;
  get.service = PLUMLINE_STR("orders");
  get.path = PLUMLINE_STR("/team");
  get.timeout_ms = 30000; /* this one call is more patient */
  get.attempts = 5;
  const plumline_kind went = plumline_client_call(plum, &get, &response, &error);
  check(went, error);
  printf("%s\n", plumline_response_body(response).data);
  plumline_response_free(response);
}

int main(void) {
  plumline_client *plum = NULL;
  plumline_explanation *why = NULL;
  plumline_error *error = NULL;
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.send = answer;

  /* Beneath these lie the environment (PLUMLINE_TIMEOUT=5s) and the file that PLUMLINE_CONFIG names. */
  plumline_config *config = plumline_config_new(), *changes = plumline_config_new();
  set(config, "timeout", "5s");
  set(config, "headers.X-Team", "fruit");
  set(config, "services.orders.timeout", "800ms");
  set(config, "services.orders.balancer", "round_robin");
  set(config, "services.orders.retry.attempts", "2");

  /* A key that is misspelt is refused, with the one that was probably meant. */
  if (plumline_config_set(config, PLUMLINE_STR("retry.attemps"), PLUMLINE_STR("2"), &error) != PLUMLINE_OK)
    printf("%s\n", plumline_error_message(error));
  plumline_error_free(error);

  plumline_kind went = plumline_config_set_callbacks(config, &callbacks, &error);
  check(went, error);
  went = plumline_client_new(PLUMLINE_STR("static://10.0.0.7:8080,10.0.0.8:8080"), config, &plum, &error);
  check(went, error);
  ask(plum);

  set(changes, "headers.X-Team", "vegetables");
  went = plumline_client_configure(plum, changes, &error);
  check(went, error);
  ask(plum);

  went = plumline_client_explain(plum, PLUMLINE_STR("orders"), NULL, &why, &error);
  check(went, error);
  printf("%s", plumline_explanation_text(why).data);
  plumline_explanation_free(why);
  plumline_config_free(changes);
  plumline_config_free(config);
  plumline_client_close(plum, -1, NULL);
  plumline_client_free(plum);
  return 0;
}
