/* A protocol of one's own: Plumline chooses the endpoint, the program does the talking.
 * `cc pick.c $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080` */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <plumline.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One line there, one line back; 0 if that went well. */
static int greet(const plumline_endpoint *endpoint, const char *name, char *answer, int room) {
  char port[8];
  struct addrinfo hints, *at = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  snprintf(port, sizeof port, "%u", (unsigned)plumline_endpoint_port(endpoint));
  if (getaddrinfo(plumline_endpoint_ip(endpoint).data, port, &hints, &at) != 0) return 1;
  const int connection = socket(at->ai_family, at->ai_socktype, 0);
  const int is_there = connection >= 0 && connect(connection, at->ai_addr, at->ai_addrlen) == 0;
  freeaddrinfo(at);
  int failed = 1;
  if (is_there && dprintf(connection, "%s\n", name) > 0) {
    FILE *lines = fdopen(connection, "r");
    failed = lines == NULL || fgets(answer, room, lines) == NULL;
    if (lines != NULL) fclose(lines);
  } else if (connection >= 0) {
    close(connection);
  }
  return failed;
}

/* Picks, talks, and reports how it went: enough failures take the endpoint out. */
static int greet_somebody(plumline_client *plum, const char *name) {
  plumline_pick *pick = NULL;
  plumline_error *error = NULL;
  char answer[128];
  if (plumline_client_pick(plum, PLUMLINE_STR("greeter"), NULL, &pick, &error) != PLUMLINE_OK) {
    fprintf(stderr, "%s\n", plumline_error_message(error));
    plumline_error_free(error);
    return 1;
  }
  const int failed = greet(plumline_pick_endpoint(pick), name, answer, sizeof answer);
  if (failed) {
    plumline_pick_failure(pick);
  } else {
    plumline_pick_success(pick);
    printf("%s", answer);
  }
  plumline_pick_free(pick); /* one that nothing was said of says nothing */
  return failed;
}

int main(int argc, char **argv) {
  plumline_client *plum = NULL;
  plumline_error *error = NULL;
  /* Without an address: the variable PLUMLINE_REGISTRY. */
  if (plumline_client_new(plumline_str_from(argc > 1 ? argv[1] : NULL), NULL, &plum, &error) != PLUMLINE_OK) {
    fprintf(stderr, "%s\n", plumline_error_message(error));
    plumline_error_free(error);
    return 1;
  }
  const int ended = greet_somebody(plum, "a plum") || greet_somebody(plum, "another plum");
  plumline_client_close(plum, -1, NULL);
  plumline_client_free(plum);
  return ended;
}
