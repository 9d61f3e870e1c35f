#define _GNU_SOURCE
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned requests;

unsigned server_requests(void) { return __atomic_load_n(&requests, __ATOMIC_SEQ_CST); }

static void give_up(const char *what) {
  perror(what);
  _Exit(1);
}

static int send_all(int peer, const char *bytes, size_t length) {
  while (length > 0) {
    const ssize_t sent = send(peer, bytes, length, MSG_NOSIGNAL);
    if (sent <= 0) return 0;
    bytes += sent;
    length -= (size_t)sent;
  }
  return 1;
}

static int answer(int peer, int status, const char *body, size_t length, int is_head) {
  char head[256];
  snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n", status, length);
  return send_all(peer, head, strlen(head)) && (is_head || send_all(peer, body, length));
}

static int serve_one(int peer, char *buffer, size_t size) {
  size_t have = 0;
  char *end = NULL;
  while (end == NULL) {
    const ssize_t got = have + 1 < size ? recv(peer, buffer + have, size - have - 1, 0) : 0;
    if (got <= 0) return 0;
    have += (size_t)got;
    buffer[have] = '\0';
    end = strstr(buffer, "\r\n\r\n");
  }
  __atomic_add_fetch(&requests, 1, __ATOMIC_SEQ_CST);
  if (strstr(buffer, " /slam") != NULL) {
    const struct linger hard = {1, 0};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    const int nobody = socket(AF_INET, SOCK_STREAM, 0);
    if (dup2(nobody, peer) < 0) give_up("dup2"); /* closes the connection, hard, and keeps its number */
    close(nobody);
    return 0;
  }
  const char *length = strcasestr(buffer, "content-length:");
  const size_t wanted = (size_t)(end + 4 - buffer) + (length ? strtoul(length + 15, NULL, 10) : 0);
  while (have < wanted && have + 1 < size) {
    const ssize_t got = recv(peer, buffer + have, size - have - 1, 0);
    if (got <= 0) return 0;
    have += (size_t)got;
    buffer[have] = '\0';
  }
  const int is_head = strncmp(buffer, "HEAD ", 5) == 0;
  const char *status = strstr(buffer, " /status/");
  if (status != NULL) return answer(peer, atoi(status + 9), "told", 4, is_head);
  if (strstr(buffer, " /hang") != NULL) return recv(peer, buffer, 1, 0) < 0 ? 0 : 0;
  if (strstr(buffer, " /big") != NULL) {
    char *body = malloc(1 << 20);
    if (body == NULL) give_up("malloc");
    memset(body, 'x', 1 << 20);
    const int went = answer(peer, 200, body, 1 << 20, is_head);
    free(body);
    return went;
  }
  return answer(peer, 200, buffer, have, is_head);
}

static void *serve(void *argument) {
  const int peer = (int)(intptr_t)argument;
  char *buffer = malloc(1 << 16);
  if (buffer == NULL) give_up("malloc");
  while (serve_one(peer, buffer, 1 << 16)) continue;
  free(buffer);
  shutdown(peer, SHUT_RDWR); /* closed at the exit: until then its number is not given away again */
  return NULL;
}

/* Every thread of every server, with the socket that it waits at: at the exit they are ended and waited for. */
static struct {
  pthread_t thread;
  int socket;
} all[4096];
static unsigned threads;

static void start_thread(void *(*run)(void *), int socket) {
  const unsigned place = __atomic_fetch_add(&threads, 1, __ATOMIC_SEQ_CST);
  if (place >= sizeof all / sizeof *all) give_up("too many connections");
  all[place].socket = socket;
  if (pthread_create(&all[place].thread, NULL, run, (void *)(intptr_t)socket) != 0) give_up("pthread_create");
}

static void *accept_all(void *argument) {
  int peer;
  while ((peer = accept((int)(intptr_t)argument, NULL, NULL)) >= 0) start_thread(serve, peer);
  return NULL;
}

static pid_t owner;

static void stop_all(void) {
  if (getpid() != owner) return; /* a forked child has none of these threads */
  owner = 0;                     /* and it may have inherited this handler beside its own: once is enough */
  for (unsigned place = 0; place < __atomic_load_n(&threads, __ATOMIC_SEQ_CST); ++place) {
    shutdown(all[place].socket, SHUT_RDWR);
    pthread_join(all[place].thread, NULL);
  }
  for (unsigned place = 0; place < threads; ++place) close(all[place].socket);
}

uint16_t server_start(void) {
  struct sockaddr_in at;
  socklen_t length = sizeof at;
  memset(&at, 0, sizeof at);
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (owner != getpid()) {
    owner = getpid();
    threads = 0; /* those of a parent are the parent's */
    if (atexit(stop_all) != 0) give_up("atexit");
  }
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, length) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &length) != 0)
    give_up("listen");
  start_thread(accept_all, listener);
  return ntohs(at.sin_port);
}

/* Starts a program, and reads the last word of the first line that it writes. */
static program start(const char *path, char *const arguments[]) {
  program it;
  int ends[2];
  if (pipe(ends) != 0) give_up("pipe");
  it.pid = fork();
  if (it.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the test, however that ends */
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execvp(path, arguments);
    give_up(path);
  }
  close(ends[1]);
  it.output = ends[0];
  char line[512];
  size_t have = 0;
  while (have + 1 < sizeof line && read(it.output, line + have, 1) == 1 && line[have] != '\n') ++have;
  line[have] = '\0';
  const char *word = strrchr(line, ' ');
  snprintf(it.address, sizeof it.address, "%.100s", word ? word + 1 : line);
  if (strchr(it.address, ':') == NULL) {
    fprintf(stderr, "%s said: %s\n", path, line);
    _Exit(1);
  }
  return it;
}

static const char *required(const char *variable) {
  const char *value = getenv(variable);
  if (value == NULL) {
    fprintf(stderr, "%s is not set: tests/c/run.sh does\n", variable);
    _Exit(1);
  }
  return value;
}

program controller_start(void) {
  char *const arguments[] = {"plumline", "controller", "--listen", "127.0.0.1:0", NULL};
  program it = start(required("PLUMLINE_COMMAND"), arguments);
  char address[128];
  snprintf(address, sizeof address, "plum%s", strstr(it.address, "://"));
  memcpy(it.address, address, sizeof address);
  return it;
}

program slam_tls_start(void) {
  char *const arguments[] = {"python3", (char *)required("PLUMLINE_SLAM_TLS"), NULL};
  return start("python3", arguments);
}

void program_end(program *it) {
  kill(it->pid, SIGKILL);
  waitpid(it->pid, NULL, 0);
  close(it->output);
}
