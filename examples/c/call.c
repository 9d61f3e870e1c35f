/* Calls a service by its name. `cc call.c $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080` */
#include <plumline.h>
#include <stdio.h>
#include <string.h>

/* Says what went wrong, and gives the error back. */
static int failed(plumline_error *error) {
  fprintf(stderr, "%s\n", plumline_error_message(error));
  plumline_error_free(error);
  return 1;
}

/* An answer of any status is a response; raise_for_status() turns 4xx and 5xx into an error. */
static int get_one(plumline_client *plum) {
  plumline_request get = PLUMLINE_REQUEST_INIT; /* a GET, unless a method is set */
  plumline_response *response = NULL;
  plumline_error *error = NULL;
  get.service = PLUMLINE_STR("orders");
  get.path = PLUMLINE_STR("/items/7");
  if (plumline_client_call(plum, &get, &response, &error) != PLUMLINE_OK ||
      plumline_response_raise_for_status(response, &error) != PLUMLINE_OK) {
    plumline_response_free(response);
    return failed(error);
  }
  printf("got %s from %s in %u attempt(s)\n", plumline_response_body(response).data,
         plumline_endpoint_address(plumline_response_endpoint(response)).data,
         (unsigned)plumline_response_attempts(response));
  plumline_response_free(response);
  return 0;
}

/* A POST is sent once, unless you say that the service may see it twice. */
static int post_one(plumline_client *plum) {
  const plumline_field team = {PLUMLINE_STR("X-Team"), PLUMLINE_STR("fruit")};
  plumline_request post = PLUMLINE_REQUEST_INIT;
  plumline_response *response = NULL;
  plumline_error *error = NULL;
  post.method = PLUMLINE_STR("POST");
  post.service = PLUMLINE_STR("orders");
  post.path = PLUMLINE_STR("/items");
  post.json = PLUMLINE_STR("{\"name\":\"a plum\"}");
  post.headers = &team;
  post.header_count = 1;
  post.idempotent = PLUMLINE_YES;
  post.timeout_ms = 800;
  if (plumline_client_call(plum, &post, &response, &error) != PLUMLINE_OK) return failed(error);
  printf("posted: %u\n", (unsigned)plumline_response_status(response));
  plumline_response_free(response);
  return 0;
}

/* What is asked for often is worth a handle: the name is looked up once. */
static int get_more(plumline_client *plum) {
  plumline_service *orders = NULL;
  plumline_error *error = NULL;
  if (plumline_client_service(plum, PLUMLINE_STR("orders"), NULL, &orders, &error) != PLUMLINE_OK) return failed(error);
  printf("three more:");
  for (int item = 0; item < 3; ++item) {
    char path[32];
    plumline_request get = PLUMLINE_REQUEST_INIT;
    plumline_response *response = NULL;
    snprintf(path, sizeof path, "/items/%d", item);
    get.path = plumline_str_from(path);
    if (plumline_service_call(orders, &get, &response, &error) != PLUMLINE_OK) {
      plumline_service_free(orders);
      return failed(error);
    }
    printf(" %u", (unsigned)plumline_response_status(response));
    plumline_response_free(response);
  }
  printf("\n");
  plumline_service_free(orders);
  return 0;
}

/* Where nobody can be asked, the error says why. */
static int get_nowhere(plumline_client *plum) {
  plumline_request get = PLUMLINE_REQUEST_INIT;
  plumline_response *response = NULL;
  plumline_error *error = NULL;
  get.service = PLUMLINE_STR("ordrs");
  get.path = PLUMLINE_STR("/items/7");
  if (plumline_client_call(plum, &get, &response, &error) != PLUMLINE_NO_ENDPOINT) {
    plumline_response_free(response);
    return failed(error);
  }
  printf("as expected: %s\n", plumline_error_message(error));
  plumline_error_free(error);
  return 0;
}

int main(int argc, char **argv) {
  plumline_client *plum = NULL;
  plumline_error *error = NULL;
  /* Without an address: the variable PLUMLINE_REGISTRY. */
  if (plumline_client_new(plumline_str_from(argc > 1 ? argv[1] : NULL), NULL, &plum, &error) != PLUMLINE_OK)
    return failed(error);
  const int ended = get_one(plum) || post_one(plum) || get_more(plum) || get_nowhere(plum);
  plumline_client_close(plum, -1, NULL);
  plumline_client_free(plum);
  return ended;
}
