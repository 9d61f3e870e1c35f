/* A user's own code: each notes what it was asked, and does what its script says. */
#include "runner.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__thread int is_caller, has_raised;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static cJSON *note(own *it, const char *by, const plumline_outgoing *request, const plumline_endpoint *at) {
  cJSON *noted = cJSON_CreateObject();
  cJSON_AddStringToObject(noted, "by", by);
  add(noted, "method", plumline_outgoing_method(request));
  add(noted, "service", plumline_outgoing_service(request));
  add(noted, "path", plumline_outgoing_path(request));
  add_number(noted, "attempt", plumline_outgoing_attempt(request));
  add(noted, "endpoint", plumline_endpoint_address(at));
  cJSON_AddBoolToObject(noted, "on_caller", is_caller);
  pthread_mutex_lock(&lock);
  cJSON_AddItemToArray(it->notes, noted);
  pthread_mutex_unlock(&lock);
  return noted;
}

/* Raises, or closes the client, if the script says so. */
static plumline_kind act(own *it, const cJSON *script, plumline_error **error) {
  if (cJSON_IsObject(script) && has(script, "raise")) {
    *error = plumline_error_new(PLUMLINE_CANCELLED, str(script, "raise"));
    has_raised = 1;
    return PLUMLINE_CANCELLED;
  }
  if (cJSON_IsTrue(cJSON_GetObjectItem(script, "close"))) plumline_client_close(it->client, -1, NULL);
  return PLUMLINE_OK;
}

static plumline_kind on_request(void *user_data, plumline_outgoing *request, const plumline_endpoint *at,
                                plumline_error **error) {
  own *it = user_data;
  const cJSON *script = cJSON_GetObjectItem(it->script, "on_request"), *pair = NULL;
  note(it, "on_request", request, at);
  cJSON_ArrayForEach(pair, cJSON_GetObjectItem(script, "set_headers")) {
    const char *value = cJSON_GetArrayItem(pair, 1)->valuestring, *mark = strstr(value, "{attempt}");
    char said[256];
    snprintf(said, sizeof said, "%s", value);
    if (mark != NULL)
      snprintf(said, sizeof said, "%.*s%u%s", (int)(mark - value), value, (unsigned)plumline_outgoing_attempt(request),
               mark + strlen("{attempt}"));
    const plumline_str name = plumline_str_from(cJSON_GetArrayItem(pair, 0)->valuestring);
    const plumline_kind set = plumline_outgoing_set_header(request, name, plumline_str_from(said), error);
    if (set != PLUMLINE_OK) return set;
  }
  return act(it, script, error);
}

static plumline_kind on_response(void *user_data, const plumline_outgoing *request, const plumline_endpoint *at,
                                 const plumline_response *response, const plumline_error *failure,
                                 plumline_error **error) {
  cJSON *noted = note(user_data, "on_response", request, at);
  if (response != NULL) add_number(noted, "status", plumline_response_status(response));
  if (failure != NULL) add_number(noted, "kind", plumline_error_kind(failure));
  return act(user_data, cJSON_GetObjectItem(((own *)user_data)->script, "on_response"), error);
}

static int32_t transport(void *user_data, const plumline_outgoing *request, const plumline_endpoint *at,
                         plumline_response **response, plumline_error **error) {
  own *it = user_data;
  const cJSON *script = cJSON_GetObjectItem(it->script, "transport");
  const char *host = has(script, plumline_endpoint_host(at).data) ? plumline_endpoint_host(at).data : "*";
  note(it, "transport", request, at);
  pthread_mutex_lock(&lock);
  cJSON *answers = cJSON_GetObjectItem(script, host), *turns = cJSON_GetObjectItem(it->turns, host);
  if (turns == NULL) turns = cJSON_AddNumberToObject(it->turns, host, 0);
  const int turn = turns->valueint, last = cJSON_GetArraySize(answers) - 1;
  cJSON_SetNumberValue(turns, turn + 1);
  pthread_mutex_unlock(&lock);
  const cJSON *answer = cJSON_GetArrayItem(answers, turn < last ? turn : last);
  const char *fail = word(answer, "fail");
  if (fail != NULL)
    return !strcmp(fail, "refused") ? PLUMLINE_SENT_REFUSED : !strcmp(fail, "reset") ? PLUMLINE_SENT_RESET : PLUMLINE_SENT_TIMEOUT;
  if (act(it, answer, error) != PLUMLINE_OK) return PLUMLINE_SENT_FAILED;
  plumline_response_fields fields = PLUMLINE_RESPONSE_FIELDS_INIT;
  fields.status = count_of(answer, "status");
  fields.content = str(answer, "body");
  fields.headers = pairs(answer, "headers", &fields.header_count);
  const plumline_kind made = plumline_response_new(&fields, at, response, error);
  free((void *)fields.headers);
  return made == PLUMLINE_OK ? PLUMLINE_SENT_ANSWERED : PLUMLINE_SENT_FAILED;
}

static plumline_kind balancer(void *user_data, const plumline_choice *choice, size_t *index, plumline_error **error) {
  const cJSON *script = cJSON_GetObjectItem(((own *)user_data)->script, "balancer");
  cJSON *noted = note(user_data, "balancer", NULL, NULL), *tried = cJSON_AddArrayToObject(noted, "tried");
  cJSON *among = cJSON_AddArrayToObject(noted, "endpoints");
  const size_t count = plumline_choice_count(choice);
  for (size_t next = 0; next < count; ++next) {
    cJSON_AddItemToArray(among, text(plumline_endpoint_address(plumline_choice_endpoint(choice, next))));
    cJSON_AddItemToArray(tried, cJSON_CreateBool(plumline_choice_is_tried(choice, next)));
  }
  const char *which = cJSON_IsString(script) ? script->valuestring : "";
  *index = !strcmp(which, "last") ? count - 1 : !strcmp(which, "out_of_range") ? count : 0;
  return act(user_data, script, error);
}

plumline_callbacks callbacks_of(own *it) {
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.user_data = it;
  callbacks.on_request = has(it->script, "on_request") ? on_request : NULL;
  callbacks.on_response = has(it->script, "on_response") ? on_response : NULL;
  callbacks.send = has(it->script, "transport") ? transport : NULL;
  callbacks.choose = has(it->script, "balancer") ? balancer : NULL;
  return callbacks;
}

cJSON *notes_of(own *it) {
  pthread_mutex_lock(&lock);
  cJSON *notes = cJSON_Duplicate(it->notes, 1);
  pthread_mutex_unlock(&lock);
  return notes;
}
