#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <time.h>

enum { MOST = 500 };

static struct {
  const char *name;
  void (*test)(void);
} tests[MOST];
static int count;

void check_add(const char *name, void (*test)(void)) {
  if (count == MOST) abort();
  tests[count].name = name;
  tests[count++].test = test;
}

void check_failed(const char *file, int line, const char *what, const char *found) {
  fprintf(stderr, "%s:%d: not so: %s%s%s\n", file, line, what, found ? "; found: " : "", found ? found : "");
  _Exit(1); /* no exit handlers: what is open stays open, and the children end with us */
}

int check_is(plumline_str found, const char *wanted) {
  return found.data != NULL && found.len == strlen(wanted) && memcmp(found.data, wanted, found.len + 1) == 0;
}

int check_holds(const char *text, const char *part) { return strstr(text, part) != NULL; }

int check_until(int (*is_so)(void *), void *data) {
  const struct timespec moment = {0, 5 * 1000 * 1000};
  const char *patience = getenv("PLUMLINE_TEST_PATIENCE");
  const int most = 2000 * (patience == NULL ? 1 : atoi(patience));
  for (int tries = 0; tries < most; ++tries) {
    if (is_so(data)) return 1;
    nanosleep(&moment, NULL);
  }
  return 0;
}

/* Runs all tests, or those whose name holds the argument. */
int main(int argc, char **argv) {
  int run = 0;
  for (int test = 0; test < count; ++test) {
    if (argc > 1 && strstr(tests[test].name, argv[1]) == NULL) continue;
    if (getenv("VERBOSE") != NULL) fprintf(stderr, "%s\n", tests[test].name);
    tests[test].test();
    ++run;
  }
  printf("%s: %d tests passed\n", argv[0], run);
  return run > 0 ? 0 : 1;
}
