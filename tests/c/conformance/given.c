/* From JSON to the structs of plumline.h; what they borrow lives as long as the operation. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

const char *word(const cJSON *of, const char *key) { return cJSON_GetStringValue(cJSON_GetObjectItem(of, key)); }

plumline_str str(const cJSON *of, const char *key) {
  plumline_str it = plumline_str_from(word(of, key));
  char *mark = it.data == NULL ? NULL : strstr((char *)it.data, NUL_MARK);
  if (mark != NULL) {
    memmove(mark + 1, mark + strlen(NUL_MARK), strlen(mark + strlen(NUL_MARK)) + 1);
    *mark = '\0';
    it.len -= strlen(NUL_MARK) - 1;
  }
  return it;
}

/* Pairs from `[[name, value], …]` or `{name: value, …}`; yours to free. */
plumline_field *pairs(const cJSON *operation, const char *key, size_t *count) {
  const cJSON *given = cJSON_GetObjectItem(operation, key), *item = NULL;
  *count = (size_t)cJSON_GetArraySize(given);
  plumline_field *fields = given == NULL ? NULL : calloc(*count + 1, sizeof *fields);
  size_t next = 0;
  cJSON_ArrayForEach(item, given) {
    const int is_list = cJSON_IsArray(item);
    fields[next].name = plumline_str_from(is_list ? cJSON_GetArrayItem(item, 0)->valuestring : item->string);
    fields[next++].value = plumline_str_from(is_list ? cJSON_GetArrayItem(item, 1)->valuestring : item->valuestring);
  }
  return fields;
}

double number(const cJSON *of, const char *key) { return cJSON_GetNumberValue(cJSON_GetObjectItem(of, key)); }
int has(const cJSON *of, const char *key) { return cJSON_HasObjectItem(of, key); }

uint64_t amount(const cJSON *of, const char *key) {
  return !has(of, key) ? 0 : number(of, key) > 0 ? (uint64_t)number(of, key) : PLUMLINE_ZERO_64;
}
uint32_t count_of(const cJSON *of, const char *key) {
  return !has(of, key) ? 0 : number(of, key) > 0 ? (uint32_t)number(of, key) : PLUMLINE_ZERO;
}
int64_t millis(const cJSON *of, const char *key) { return has(of, key) ? (int64_t)number(of, key) : -1; }
int32_t tristate(const cJSON *of, const char *key) {
  return !has(of, key) ? PLUMLINE_DEFAULT : cJSON_IsTrue(cJSON_GetObjectItem(of, key)) ? PLUMLINE_YES : PLUMLINE_NO;
}

plumline_query query_of(const cJSON *operation) {
  plumline_query query = PLUMLINE_QUERY_INIT;
  query.version = str(operation, "version");
  query.protocol = str(operation, "protocol");
  query.labels = pairs(operation, "labels", &query.label_count);
  return query;
}

plumline_instance instance_of(const cJSON *fields, plumline_str *tags) {
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  const cJSON *tag = NULL;
  instance.port = has(fields, "port") ? (uint16_t)number(fields, "port") : 0;
  instance.service = str(fields, "service");
  instance.host = str(fields, "host");
  instance.protocol = str(fields, "protocol");
  instance.version = str(fields, "version");
  instance.zone = str(fields, "zone");
  instance.instance_id = str(fields, "instance_id");
  instance.labels = pairs(fields, "labels", &instance.label_count);
  cJSON_ArrayForEach(tag, cJSON_GetObjectItem(fields, "tags"))
    if (instance.tag_count < 16) tags[instance.tag_count++] = plumline_str_from(tag->valuestring);
  instance.tags = has(fields, "tags") ? tags : NULL;
  instance.ttl_ms = amount(fields, "ttl");
  instance.weight = count_of(fields, "weight");
  instance.healthy = tristate(fields, "healthy");
  return instance;
}

plumline_request request_of(const cJSON *operation) {
  plumline_request request = PLUMLINE_REQUEST_INIT;
  request.idempotent = tristate(operation, "idempotent");
  request.method = str(operation, "method");
  request.service = str(operation, "service");
  request.path = str(operation, "path");
  request.version = str(operation, "version");
  request.params = pairs(operation, "params", &request.param_count);
  request.headers = pairs(operation, "headers", &request.header_count);
  request.form = pairs(operation, "form", &request.form_count);
  request.labels = pairs(operation, "labels", &request.label_count);
  request.content = str(operation, "body");
  request.timeout_ms = amount(operation, "timeout");
  request.attempt_timeout_ms = amount(operation, "attempt_timeout");
  request.attempts = count_of(operation, "attempts");
  request.max_body = amount(operation, "max_body");
  return request;
}

plumline_kind endpoint_of(const cJSON *row, plumline_str service, plumline_endpoint **made, plumline_error **error) {
  plumline_endpoint_fields fields = PLUMLINE_ENDPOINT_FIELDS_INIT;
  fields.service = service;
  fields.host = str(row, "host");
  fields.port = (uint16_t)number(row, "port");
  fields.protocol = str(row, "protocol");
  fields.version = str(row, "version");
  fields.zone = str(row, "zone");
  fields.instance_id = str(row, "instance_id");
  fields.labels = pairs(row, "labels", &fields.label_count);
  fields.weight = count_of(row, "weight");
  fields.unhealthy = tristate(row, "healthy") == PLUMLINE_NO;
  const plumline_kind went = plumline_endpoint_new(&fields, made, error);
  free((void *)fields.labels);
  return went;
}
