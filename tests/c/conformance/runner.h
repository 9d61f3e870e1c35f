/*
 * The C runner: does what the test bed says, with the public API, and tells what came of it. It judges nothing;
 * tests/conformance/README.md says what the lines mean.
 *
 *   given.c    from JSON to the structs of plumline.h
 *   forms.c    what came of it, in the normal forms
 *   own.c      the user's own code: hooks, balancer, transport
 *   runner.c   the operations, and the loop around them
 */
#ifndef RUNNER_H
#define RUNNER_H

#define _POSIX_C_SOURCE 200809L
#include <cjson/cJSON.h>
#include <plumline.h>

/* A client with the user's own code, and what that noted. */
typedef struct {
  plumline_client *client;
  cJSON *script, *notes, *turns;
} own;

/* Whether this thread does an operation, and whether the user's own code has raised in it. */
extern __thread int is_caller, has_raised;

/* Stands for a NUL, which ends a string of cJSON's. */
#define NUL_MARK "\xee\x80\x80"

/* Fields of a line; not given where they are absent. Arrays are yours to free. */
const char *word(const cJSON *of, const char *key);
plumline_str str(const cJSON *of, const char *key);
int has(const cJSON *of, const char *key);
double number(const cJSON *of, const char *key);
uint64_t amount(const cJSON *of, const char *key);
uint32_t count_of(const cJSON *of, const char *key);
int64_t millis(const cJSON *of, const char *key);
int32_t tristate(const cJSON *of, const char *key);
plumline_field *pairs(const cJSON *of, const char *key, size_t *count);
plumline_query query_of(const cJSON *operation);
plumline_instance instance_of(const cJSON *fields, plumline_str *tags);
plumline_request request_of(const cJSON *operation);
plumline_kind endpoint_of(const cJSON *row, plumline_str service, plumline_endpoint **made, plumline_error **error);

cJSON *text(plumline_str from);
void add(cJSON *form, const char *key, plumline_str from);
void add_number(cJSON *form, const char *key, double from);
cJSON *endpoint(const plumline_endpoint *it);
cJSON *endpoints(const plumline_endpoints *list);
cJSON *error_form(const plumline_error *it);
cJSON *response_form(const plumline_response *it);
cJSON *registration_form(const plumline_registration *it);
cJSON *change_form(const plumline_change *it);
cJSON *explanation_form(const plumline_explanation *it);

/* What a client is made with; the notes of its own code. */
plumline_callbacks callbacks_of(own *it);
cJSON *notes_of(own *it);

#endif
