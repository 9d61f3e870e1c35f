/* What the tests talk to: a small HTTP server, the real controller, and a TLS server that hangs up. */
#ifndef SERVER_H
#define SERVER_H

#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Serves HTTP/1.1 on a free port until the process ends, a thread for each connection:
 *   /status/503   answers with that status
 *   /big          a body of 1 MiB
 *   /hang         answers nothing, until the peer goes
 *   /slam         resets the connection without having read the body
 *   others        200, and the request as it came: line, headers, blank line, body; X-Twice: 1, X-Twice: 2
 */
uint16_t server_start(void);
/* How many requests all servers have read. */
unsigned server_requests(void);

/* A process that writes a line once it is ready. */
typedef struct {
  pid_t pid;
  int output;
  char address[128];
} program;

/* The real controller on a free port; `address` is its plum:// address. */
program controller_start(void);
/* Ends a program with SIGKILL. */
void program_end(program *it);
/* A TLS server that resets each connection while the peer still writes; `address` is host:port. */
program slam_tls_start(void);

#ifdef __cplusplus
}
#endif

#endif
