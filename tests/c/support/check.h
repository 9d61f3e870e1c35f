/* A test is a function; a check that fails says where, and ends the program. C99 and C++17. */
#ifndef CHECK_H
#define CHECK_H

#include <plumline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Adds a test; done by TEST before main() begins. */
void check_add(const char *name, void (*test)(void));
/* Says where a check failed, and ends the program. */
void check_failed(const char *file, int line, const char *what, const char *found);
/* Whether a string of the library's is this text, with its NUL behind it. */
int check_is(plumline_str found, const char *wanted);
/* Whether a text holds another. */
int check_holds(const char *text, const char *part);
/* Waits until something is true, at most 10 s times PLUMLINE_TEST_PATIENCE; 1 if it is. */
int check_until(int (*is_so)(void *), void *data);

#ifdef __cplusplus
}
#endif

#define TEST(name)                                                                              \
  static void name(void);                                                                       \
  __attribute__((constructor)) static void add_##name(void) { check_add(#name, name); }         \
  static void name(void)

#define CHECK(condition)                                                                        \
  do {                                                                                          \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition, NULL);                       \
  } while (0)

#define CHECK_STR(string, wanted)                                                               \
  do {                                                                                          \
    const plumline_str found_ = (string);                                                       \
    if (!check_is(found_, (wanted)))                                                            \
      check_failed(__FILE__, __LINE__, #string " is " #wanted, found_.data ? found_.data : "(none)"); \
  } while (0)

/* A call that must succeed; `error` is the test's own variable. */
#define OK(call)                                                                                \
  do {                                                                                          \
    plumline_error *error = NULL;                                                               \
    if ((call) != PLUMLINE_OK || error != NULL)                                                 \
      check_failed(__FILE__, __LINE__, #call, plumline_error_message(error));                   \
  } while (0)

/* A call that must fail with this kind, and a message that holds this. */
#define FAILS(kind, part, call)                                                                 \
  do {                                                                                          \
    plumline_error *error = NULL;                                                               \
    const plumline_kind returned_ = (call);                                                     \
    if (returned_ != (kind) || plumline_error_kind(error) != (kind) ||                          \
        !check_holds(plumline_error_message(error), (part)))                                    \
      check_failed(__FILE__, __LINE__, #call " fails with " #kind ": " part,                    \
                   returned_ == PLUMLINE_OK ? "OK" : plumline_error_message(error));            \
    plumline_error_free(error);                                                                 \
  } while (0)

#define REFUSED(part, call) FAILS(PLUMLINE_INVALID_ARGUMENT, part, call)

#endif
