/* Serves HTTP and registers itself, until its standard input ends (Ctrl-D).
 * `cc register.c $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080` */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <plumline.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Answers the requests of one connection until it ends. */
static void *serve(void *argument) {
  static const char answer[] =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{\"id\":7,\"name\":\"a plum\"}";
  FILE *peer = fdopen((int)(intptr_t)argument, "r+");
  char line[1024];
  size_t length = 0;
  while (peer != NULL && fgets(line, sizeof line, peer) != NULL) {
    if (strncasecmp(line, "content-length:", 15) == 0) length = strtoul(line + 15, NULL, 10);
    if (strcmp(line, "\r\n") != 0) continue;
    while (length > 0 && getc(peer) != EOF) --length;
    if (send(fileno(peer), answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) break;
  }
  if (peer != NULL) fclose(peer);
  return NULL;
}

static void *accept_all(void *argument) {
  int peer;
  pthread_t thread;
  while ((peer = accept((int)(intptr_t)argument, NULL, NULL)) >= 0)
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer) == 0) pthread_detach(thread);
  return NULL;
}

/* Begins to serve on a free port; 0 if that fails. */
static uint16_t serve_in_background(void) {
  struct sockaddr_in at;
  socklen_t length = sizeof at;
  pthread_t thread;
  memset(&at, 0, sizeof at);
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, length) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &length) != 0 ||
      pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener) != 0)
    return 0;
  pthread_detach(thread);
  return ntohs(at.sin_port);
}

int main(int argc, char **argv) {
  const plumline_field labels[] = {{PLUMLINE_STR("env"), PLUMLINE_STR("example")},
                                   {PLUMLINE_STR("warm"), PLUMLINE_STR("yes")}};
  plumline_client *plum = NULL;
  plumline_registration *me = NULL;
  plumline_error *error = NULL;
  plumline_instance instance = PLUMLINE_INSTANCE_INIT, warm = PLUMLINE_INSTANCE_INIT;
  instance.service = PLUMLINE_STR("orders");
  instance.port = serve_in_background();
  instance.host = PLUMLINE_STR("127.0.0.1"); /* where others reach us; left out: our address towards the registry */
  instance.version = PLUMLINE_STR("v1");
  instance.labels = labels;
  instance.label_count = 1;
  warm.labels = labels;
  warm.label_count = 2;

  /* Without an address: the variable PLUMLINE_REGISTRY. */
  if (plumline_client_new(plumline_str_from(argc > 1 ? argv[1] : NULL), NULL, &plum, &error) == PLUMLINE_OK &&
      plumline_client_register(plum, &instance, &me, &error) == PLUMLINE_OK &&
      plumline_registration_wait(me, 10000, &error) == PLUMLINE_OK) {
    printf("registered %s\n", plumline_registration_address(me).data);
    fflush(stdout);
    /* What is registered can change at any time, and stays changed after every outage of the registry. */
    if (plumline_registration_update(me, &warm, &error) == PLUMLINE_OK) {
      while (getchar() != EOF) continue;
      /* Deregisters, then waits for calls that are still on their way. Closing the client does so too. */
      if (plumline_registration_close(me, 200, &error) == PLUMLINE_OK) printf("deregistered\n");
    }
  }
  const int ended = error != NULL;
  if (error != NULL) fprintf(stderr, "%s\n", plumline_error_message(error));
  plumline_error_free(error);
  plumline_registration_free(me);
  if (plum != NULL) plumline_client_close(plum, -1, NULL);
  plumline_client_free(plum);
  return ended;
}
