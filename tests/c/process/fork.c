/* After a fork both go on: the child with what it inherited, and without what is the parent's. */
#define _POSIX_C_SOURCE 200809L
#include "../unit/common.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs something in a forked child, and waits for it to end well. */
static void in_child(void (*run)(void *), void *data) {
  int status = 0;
  fflush(stdout);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(20); /* a child that hangs is a child that fails */
    run(data);
    exit(0); /* with the exit handlers: an orderly exit of the child */
  }
  CHECK(waitpid(child, &status, 0) == child);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    char how[64];
    snprintf(how, sizeof how, "status %#x", (unsigned)status);
    check_failed(__FILE__, __LINE__, "the child ends well", how);
  }
}

typedef struct {
  plumline_client *plum;
  plumline_service *orders;
  plumline_registration *me;
  plumline_watch *watch;
  plumline_pick *pick;
} inherited;

static void call_once(plumline_client *plum) {
  plumline_request get = get_of(S("orders"), S("/x"));
  plumline_response *reply = NULL;
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(plumline_response_status(reply) == 200);
  plumline_response_free(reply);
}

static size_t known(plumline_client *plum) {
  plumline_endpoints *found = NULL;
  OK(plumline_client_clear_cache(plum, &error));
  OK(plumline_client_discover(plum, S("orders"), NULL, &found, &error));
  const size_t count = plumline_endpoints_count(found);
  plumline_endpoints_free(found);
  return count;
}

static void use_all(void *data) {
  inherited *it = data;
  plumline_request get = PLUMLINE_REQUEST_INIT;
  plumline_response *reply = NULL;
  plumline_pick *pick = NULL;
  get.path = S("/y");
  call_once(it->plum);
  OK(plumline_service_call(it->orders, &get, &reply, &error));
  plumline_response_free(reply);
  OK(plumline_service_pick(it->orders, &pick, &error));
  plumline_pick_success(pick);
  plumline_pick_free(pick);
  CHECK(plumline_registration_state(it->me) == PLUMLINE_REGISTRATION_CLOSED); /* the parent's */
  CHECK(plumline_registration_address(it->me).len == 0);
  OK(plumline_registration_close(it->me, 0, &error));
  plumline_registration_free(it->me);
  plumline_service_free(it->orders);
  plumline_watch_free(it->watch);
  plumline_pick_success(it->pick);
  plumline_pick_free(it->pick);
  OK(plumline_client_close(it->plum, 0, &error));
  plumline_client_free(it->plum);
}

static void exit_at_once(void *data) { (void)data; }

TEST(a_child_uses_what_it_inherited_and_leaves_the_parents_alone) {
  program controller = controller_start();
  inherited it = {0};
  it.plum = client_of(controller.address, NULL);
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  instance.service = S("orders");
  instance.host = S("127.0.0.1");
  instance.port = server_start();
  OK(plumline_client_register(it.plum, &instance, &it.me, &error));
  OK(plumline_registration_wait(it.me, -1, &error));
  OK(plumline_client_service(it.plum, S("orders"), NULL, &it.orders, &error));
  OK(plumline_client_watch(it.plum, S("orders"), &it.watch, &error));
  OK(plumline_client_pick(it.plum, S("orders"), NULL, &it.pick, &error));
  call_once(it.plum);
  for (int child = 0; child < 5; ++child) {
    in_child(use_all, &it);
    in_child(exit_at_once, NULL);
    CHECK(known(it.plum) == 1); /* no child has deregistered us, not by closing and not by exiting */
    call_once(it.plum);
  }
  CHECK(plumline_registration_state(it.me) == PLUMLINE_REGISTRATION_REGISTERED);
  plumline_pick_free(it.pick);
  plumline_watch_free(it.watch);
  plumline_service_free(it.orders);
  plumline_registration_free(it.me);
  done_with(it.plum);
  program_end(&controller);
}

static int stop;

static void *keep_calling(void *plum) {
  while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) call_once((plumline_client *)plum);
  return NULL;
}

static void call_in_child(void *plum) { call_once((plumline_client *)plum); }

TEST(a_fork_in_the_middle_of_other_threads_calls_does_no_harm) {
  plumline_client *plum = client_of_server(NULL);
  pthread_t threads[4];
  for (int thread = 0; thread < 4; ++thread) CHECK(pthread_create(&threads[thread], NULL, keep_calling, plum) == 0);
  for (int child = 0; child < 20; ++child) in_child(call_in_child, plum);
  __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
  for (int thread = 0; thread < 4; ++thread) CHECK(pthread_join(threads[thread], NULL) == 0);
  done_with(plum);
}

static void register_in_child(void *address) {
  plumline_client *plum = client_of(address, NULL);
  plumline_registration *me = NULL;
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  instance.service = S("orders");
  instance.host = S("127.0.0.1");
  instance.port = server_start();
  OK(plumline_client_register(plum, &instance, &me, &error));
  OK(plumline_registration_wait(me, -1, &error));
  plumline_registration_free(me);
  CHECK(known(plum) == 1);
  plumline_client_free(plum); /* never closed: what is registered is known until the exit */
}

TEST(an_orderly_exit_deregisters) {
  program controller = controller_start();
  in_child(register_in_child, controller.address);
  plumline_client *plum = client_of(controller.address, NULL);
  CHECK(known(plum) == 0);
  done_with(plum);
  program_end(&controller);
}
