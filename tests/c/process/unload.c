/* A program that loads the library by name and lets go of it while a client is open: that lives on, and so do its
 * threads. Linked against nothing of Plumline's; the library's path is the argument. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <plumline.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                        \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                   \
      _Exit(1);                                                                                 \
    }                                                                                           \
  } while (0)

/* A function by its name; ISO C knows no cast from an object to it. */
#define FIND(library, function, name)                                                           \
  do {                                                                                          \
    void *found_ = dlsym(library, name);                                                        \
    CHECK(found_ != NULL);                                                                      \
    memcpy(&(function), &found_, sizeof found_);                                                \
  } while (0)

static plumline_kind (*client_new)(plumline_str, const plumline_config *, plumline_client **, plumline_error **);
static plumline_client *client;

/* A thread that lives on would keep the library where it is: glibc waits for what it has to destroy. */
static void *make_client(void *unused) {
  CHECK(client_new(PLUMLINE_STR("plum://127.0.0.1:1"), NULL, &client, NULL) == PLUMLINE_OK);
  return unused;
}

int main(int argc, char **argv) {
  plumline_kind (*watch)(const plumline_client *, plumline_str, plumline_watch **, plumline_error **);
  plumline_kind (*next)(const plumline_watch *, int64_t, plumline_change **, plumline_error **);
  plumline_kind (*close)(const plumline_client *, int64_t, plumline_error **);
  void (*change_free)(plumline_change *);
  void (*watch_free)(plumline_watch *);
  void (*client_free)(plumline_client *);
  pthread_t maker;
  plumline_watch *orders = NULL;
  plumline_change *change = NULL;
  void *library;

  CHECK(argc == 2);
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  FIND(library, client_new, "plumline_client_new");
  FIND(library, watch, "plumline_client_watch");
  FIND(library, next, "plumline_watch_next");
  FIND(library, close, "plumline_client_close");
  FIND(library, change_free, "plumline_change_free");
  FIND(library, watch_free, "plumline_watch_free");
  FIND(library, client_free, "plumline_client_free");
  CHECK(pthread_create(&maker, NULL, make_client, NULL) == 0 && pthread_join(maker, NULL) == 0);

  CHECK(dlclose(library) == 0);
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  CHECK(library != NULL); /* still there */
  CHECK(dlclose(library) == 0);

  /* The registry is away: a thread in the background finds that out. */
  CHECK(watch(client, PLUMLINE_STR("orders"), &orders, NULL) == PLUMLINE_OK);
  CHECK(next(orders, 10000, &change, NULL) == PLUMLINE_OK && change != NULL);
  change_free(change);
  watch_free(orders);
  CHECK(close(client, 0, NULL) == PLUMLINE_OK);
  client_free(client);
  printf("%s: 1 test passed\n", argv[0]);
  return 0;
}
