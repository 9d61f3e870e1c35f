/* The operations, and the loop around them. `conformance [filter]`. */
#include "runner.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What was made since the last `end`. */
typedef struct thing {
  char kind[16], name[64];
  void *made;
  void (*free)(void *);
  struct thing *before;
} thing;

static thing *things;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void keep(const char *kind, const char *name, void *made, void (*free_it)(void *)) {
  thing *it = calloc(1, sizeof *it);
  snprintf(it->kind, sizeof it->kind, "%s", kind);
  snprintf(it->name, sizeof it->name, "%s", name == NULL ? "" : name);
  it->made = made;
  it->free = free_it;
  pthread_mutex_lock(&lock);
  it->before = things;
  things = it;
  pthread_mutex_unlock(&lock);
}

/* The thing of this kind that the operation names: the latest of that name. */
static void *of(const char *kind, const cJSON *operation) {
  const char *name = word(operation, kind);
  pthread_mutex_lock(&lock);
  thing *it = things;
  while (it != NULL && name != NULL && (strcmp(it->kind, kind) != 0 || strcmp(it->name, name) != 0)) it = it->before;
  pthread_mutex_unlock(&lock);
  return it == NULL || name == NULL ? NULL : it->made;
}

static plumline_client *client_of(const cJSON *operation) {
  own *it = of("client", operation);
  return it == NULL ? NULL : it->client;
}

static void end_own(void *made) {
  own *it = made;
  plumline_client_free(it->client);
  cJSON_Delete(it->script);
  cJSON_Delete(it->notes);
  cJSON_Delete(it->turns);
  free(it);
}

#define FREE(type) \
  static void end_##type(void *made) { plumline_##type##_free((plumline_##type *)made); }
FREE(service)
FREE(pick)
FREE(registration)
FREE(watch)

/* An operation on a thread of its own. */
typedef struct {
  pthread_t thread;
  int is_joined;
  cJSON *operation, *answer;
} task;

static void end_task(void *made) {
  task *it = made;
  if (!it->is_joined) pthread_join(it->thread, NULL);
  cJSON_Delete(it->operation);
  cJSON_Delete(it->answer);
  free(it);
}

static void end_all(void) {
  for (thing *it = things; it != NULL; it = it->before)
    if (strcmp(it->kind, "client") == 0) plumline_client_close(((own *)it->made)->client, -1, NULL);
  for (thing *it = things; it != NULL; it = it->before) /* what they use must be there until they end */
    if (strcmp(it->kind, "task") == 0 && !((task *)it->made)->is_joined) {
      pthread_join(((task *)it->made)->thread, NULL);
      ((task *)it->made)->is_joined = 1;
    }
  while (things != NULL) {
    thing *it = things;
    things = it->before;
    it->free(it->made);
    free(it);
  }
}

/* --- operations: each sets *value, or fails with *error */

static plumline_kind config_of(const cJSON *from, plumline_config **config, plumline_error **error) {
  char *json = cJSON_PrintUnformatted(from);
  const plumline_kind made = plumline_config_from_json(plumline_str_from(json), config, error);
  free(json);
  return made;
}

static plumline_kind make_client(const cJSON *operation, plumline_error **error) {
  own *it = calloc(1, sizeof *it);
  plumline_config *config = NULL;
  it->script = cJSON_Duplicate(operation, 1);
  it->notes = cJSON_CreateArray();
  it->turns = cJSON_CreateObject();
  const plumline_callbacks callbacks = callbacks_of(it);
  plumline_kind made = config_of(cJSON_GetObjectItem(operation, "config"), &config, error);
  if (made == PLUMLINE_OK) made = plumline_config_set_callbacks(config, &callbacks, error);
  if (made == PLUMLINE_OK) made = plumline_client_new(plumline_str_from(NULL), config, &it->client, error);
  plumline_config_free(config);
  keep("client", word(operation, "as"), it, end_own);
  return made;
}

static plumline_kind call(const cJSON *operation, cJSON **value, plumline_error **error) {
  char *json = has(operation, "json") ? cJSON_PrintUnformatted(cJSON_GetObjectItem(operation, "json")) : NULL;
  plumline_request request = request_of(operation);
  plumline_response *response = NULL;
  request.json = plumline_str_from(json);
  plumline_kind made = has(operation, "handle")
                           ? plumline_service_call(of("handle", operation), &request, &response, error)
                           : plumline_client_call(client_of(operation), &request, &response, error);
  if (made == PLUMLINE_OK && cJSON_IsTrue(cJSON_GetObjectItem(operation, "raise_for_status")))
    made = plumline_response_raise_for_status(response, error);
  if (made == PLUMLINE_OK) *value = response_form(response);
  plumline_response_free(response);
  free((void *)request.params);
  free((void *)request.headers);
  free((void *)request.form);
  free((void *)request.labels);
  free(json);
  return made;
}

static plumline_kind publish(const cJSON *operation, plumline_error **error) {
  const cJSON *row = NULL;
  plumline_endpoint *made[64] = {NULL};
  size_t count = 0;
  plumline_kind went = PLUMLINE_OK;
  cJSON_ArrayForEach(row, cJSON_GetObjectItem(operation, "endpoints"))
    if (went == PLUMLINE_OK && count < 64) went = endpoint_of(row, str(operation, "service"), &made[count++], error);
  if (went == PLUMLINE_OK)
    went = plumline_client_publish(client_of(operation), str(operation, "service"),
                                   (const plumline_endpoint *const *)made, count, error);
  while (count > 0) plumline_endpoint_free(made[--count]);
  return went;
}

static plumline_kind pick(const cJSON *operation, const plumline_query *query, cJSON **value, plumline_error **error) {
  plumline_pick *picked = NULL;
  const plumline_kind made =
      has(operation, "handle")
          ? plumline_service_pick(of("handle", operation), &picked, error)
          : plumline_client_pick(client_of(operation), str(operation, "service"), query, &picked, error);
  if (made != PLUMLINE_OK) return made;
  *value = cJSON_CreateObject();
  cJSON_AddItemToObject(*value, "endpoint", endpoint(plumline_pick_endpoint(picked)));
  cJSON_AddBoolToObject(*value, "is_stale", plumline_pick_is_stale(picked));
  keep("pick", word(operation, "as"), picked, end_pick);
  return made;
}

/* Operations on a registration. */
static int on_registration(const char *what, const cJSON *operation, cJSON **value, plumline_kind *went,
                           plumline_error **error) {
  plumline_registration *it = of("registration", operation);
  plumline_str tags[16];
  const int is_new = strcmp(what, "register") == 0;
  plumline_instance instance = instance_of(cJSON_GetObjectItem(operation, is_new ? "instance" : "fields"), tags);
  if (is_new) {
    *went = plumline_client_register(client_of(operation), &instance, &it, error);
    if (*went == PLUMLINE_OK) keep("registration", word(operation, "as"), it, end_registration);
  } else if (strcmp(what, "wait") == 0) {
    *went = plumline_registration_wait(it, millis(operation, "timeout"), error);
  } else if (strcmp(what, "update") == 0) {
    *went = plumline_registration_update(it, &instance, error);
  } else if (strcmp(what, "close_registration") == 0) {
    *went = plumline_registration_close(it, millis(operation, "drain"), error);
  }
  free((void *)instance.labels);
  const int is_told = is_new || strcmp(what, "registration") == 0;
  if (is_told && *went == PLUMLINE_OK) *value = registration_form(it);
  return is_told || strstr("wait update close_registration", what) != NULL;
}

/* What makes or asks something of a service, narrowed by a query. */
static int on_query(const char *what, const cJSON *operation, cJSON **value, plumline_kind *went,
                    plumline_error **error) {
  plumline_client *plum = client_of(operation);
  const plumline_str service = str(operation, "service");
  const plumline_query query = query_of(operation);
  int is_known = 1;
  if (strcmp(what, "discover") == 0) {
    plumline_endpoints *found = NULL;
    *went = plumline_client_discover(plum, service, &query, &found, error);
    if (*went == PLUMLINE_OK) *value = endpoints(found);
    plumline_endpoints_free(found);
  } else if (strcmp(what, "pick") == 0) {
    *went = pick(operation, &query, value, error);
  } else if (strcmp(what, "service") == 0) {
    plumline_service *handle = NULL;
    *went = plumline_client_service(plum, service, &query, &handle, error);
    if (handle != NULL) keep("handle", word(operation, "as"), handle, end_service);
  } else if (strcmp(what, "wait_for") == 0) {
    *went = plumline_client_wait_for(plum, service, &query, (uint64_t)number(operation, "timeout"), error);
  } else if (strcmp(what, "explain") == 0) {
    plumline_explanation *why = NULL;
    *went = plumline_client_explain(plum, service, &query, &why, error);
    if (*went == PLUMLINE_OK) *value = explanation_form(why);
    plumline_explanation_free(why);
  } else {
    is_known = 0;
  }
  free((void *)query.labels);
  return is_known;
}

static int on_watch(const char *what, const cJSON *operation, cJSON **value, plumline_kind *went,
                    plumline_error **error) {
  plumline_watch *watch = of("watch", operation);
  if (strcmp(what, "watch") == 0 || strcmp(what, "watch_all") == 0) {
    plumline_client *plum = client_of(operation);
    *went = strcmp(what, "watch") == 0 ? plumline_client_watch(plum, str(operation, "service"), &watch, error)
                                       : plumline_client_watch_all(plum, &watch, error);
    if (*went == PLUMLINE_OK) keep("watch", word(operation, "as"), watch, end_watch);
  } else if (strcmp(what, "next") == 0) {
    plumline_change *change = NULL;
    *went = plumline_watch_next(watch, millis(operation, "timeout"), &change, error);
    if (*went == PLUMLINE_OK) *value = change_form(change);
    plumline_change_free(change);
  } else if (strcmp(what, "close_watch") == 0) {
    plumline_watch_close(watch);
  } else {
    return 0;
  }
  return 1;
}

static int on_client(const char *what, const cJSON *operation, cJSON **value, plumline_kind *went,
                     plumline_error **error) {
  plumline_client *plum = client_of(operation);
  if (strcmp(what, "client") == 0) {
    *went = make_client(operation, error);
  } else if (strcmp(what, "call") == 0) {
    *went = call(operation, value, error);
  } else if (strcmp(what, "publish") == 0) {
    *went = publish(operation, error);
  } else if (strcmp(what, "clear_cache") == 0) {
    *went = plumline_client_clear_cache(plum, error);
  } else if (strcmp(what, "close") == 0) {
    *went = plumline_client_close(plum, millis(operation, "drain"), error);
  } else if (strcmp(what, "is_closed") == 0) {
    *value = cJSON_CreateBool(plumline_client_is_closed(plum));
  } else if (strcmp(what, "recorded") == 0) {
    *value = notes_of(of("client", operation));
  } else if (strcmp(what, "report") == 0) {
    void (*const report)(const plumline_pick *) =
        strcmp(word(operation, "outcome"), "success") == 0 ? plumline_pick_success : plumline_pick_failure;
    report(of("pick", operation));
  } else if (strcmp(what, "services") == 0) {
    plumline_strings *names = NULL;
    *went = plumline_client_services(plum, &names, error);
    if (*went == PLUMLINE_OK) *value = cJSON_CreateArray();
    for (size_t next = 0; next < plumline_strings_count(names); ++next)
      cJSON_AddItemToArray(*value, text(plumline_strings_at(names, next)));
    plumline_strings_free(names);
  } else if (strcmp(what, "stats") == 0) {
    plumline_stats *stats = NULL;
    *went = plumline_client_stats(plum, &stats, error);
    if (*went == PLUMLINE_OK) *value = cJSON_Parse(plumline_stats_json(stats).data);
    plumline_stats_free(stats);
  } else if (strcmp(what, "configure") == 0) {
    plumline_config *changes = NULL;
    *went = config_of(cJSON_GetObjectItem(operation, "changes"), &changes, error);
    if (*went == PLUMLINE_OK) *went = plumline_client_configure(plum, changes, error);
    plumline_config_free(changes);
  } else {
    return 0;
  }
  return 1;
}

static cJSON *done(const cJSON *operation) {
  cJSON *answer = cJSON_CreateObject(), *value = NULL;
  plumline_error *error = NULL;
  plumline_kind went = PLUMLINE_OK;
  const char *what = word(operation, "do");
  is_caller = 1;
  has_raised = 0;
  const int is_known = on_client(what, operation, &value, &went, &error) ||
                       on_query(what, operation, &value, &went, &error) ||
                       on_watch(what, operation, &value, &went, &error) ||
                       on_registration(what, operation, &value, &went, &error);
  is_caller = 0;
  if (!is_known)
    cJSON_AddStringToObject(answer, "defect", what);
  else if (went != PLUMLINE_OK && has_raised)
    cJSON_AddStringToObject(answer, "raised", plumline_error_message(error));
  else if (went != PLUMLINE_OK)
    cJSON_AddItemToObject(answer, "error", error_form(error));
  else
    cJSON_AddItemToObject(answer, "value", value == NULL ? cJSON_CreateNull() : value);
  plumline_error_free(error);
  return answer;
}

static void *run_task(void *made) {
  task *it = made;
  it->answer = done(it->operation);
  return NULL;
}

static cJSON *answer_to(const cJSON *operation) {
  const char *what = word(operation, "do");
  task *it = of("task", operation);
  if (strcmp(what, "join") == 0) {
    if (!it->is_joined) pthread_join(it->thread, NULL);
    it->is_joined = 1;
    return cJSON_Duplicate(it->answer, 1);
  }
  if (strcmp(what, "end") != 0 && !has(operation, "task")) return done(operation);
  if (strcmp(what, "end") == 0) {
    end_all();
  } else {
    it = calloc(1, sizeof *it);
    it->operation = cJSON_Duplicate(operation, 1);
    keep("task", word(operation, "task"), it, end_task);
    if (pthread_create(&it->thread, NULL, run_task, it) != 0) abort();
  }
  cJSON *nothing = cJSON_CreateObject();
  cJSON_AddNullToObject(nothing, "value");
  return nothing;
}

int main(int argc, char **argv) {
  const char *bed = getenv("PLUMLINE_TESTBED");
  int to_us[2], to_bed[2], status = 0;
  if (bed == NULL) bed = "target/debug/plumline-testbed";
  if (pipe(to_us) != 0 || pipe(to_bed) != 0) return 2;
  const pid_t child = fork();
  if (child == 0) {
    dup2(to_bed[0], 0);
    dup2(to_us[1], 1);
    close(to_bed[1]);
    close(to_us[0]);
    execl(bed, bed, "c", argc > 1 ? argv[1] : (char *)NULL, (char *)NULL);
    perror(bed);
    _exit(2);
  }
  close(to_bed[0]);
  close(to_us[1]);
  FILE *from = fdopen(to_us[0], "r"), *to = fdopen(to_bed[1], "w");
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, from) > 0) {
    for (char *nul = line; (nul = strstr(nul, "\\u0000")) != NULL;) memcpy(nul, "\\ue000", 6);
    cJSON *operation = cJSON_Parse(line), *answer = answer_to(operation);
    char *told = cJSON_PrintUnformatted(answer);
    fprintf(to, "%s\n", told);
    fflush(to);
    free(told);
    cJSON_Delete(answer);
    cJSON_Delete(operation);
  }
  end_all();
  free(line);
  fclose(from);
  fclose(to);
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
