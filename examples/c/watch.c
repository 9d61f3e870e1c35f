/* Tells who offers a service, and every change of that, until it is ended (Ctrl-C).
 * `cc watch.c $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080` */
#include <plumline.h>
#include <stdio.h>

static void tell(const plumline_change *change) {
  const plumline_endpoints *now = plumline_change_endpoints(change);
  printf("%s: +%zu -%zu", plumline_change_kind_name(change).data,
         plumline_endpoints_count(plumline_change_added(change)),
         plumline_endpoints_count(plumline_change_removed(change)));
  for (size_t index = 0; index < plumline_endpoints_count(now); ++index)
    printf(" %s", plumline_endpoint_address(plumline_endpoints_at(now, index)).data);
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  plumline_client *plum = NULL;
  plumline_watch *watch = NULL;
  plumline_change *change = NULL;
  plumline_error *error = NULL;
  /* Without an address: the variable PLUMLINE_REGISTRY. */
  if (plumline_client_new(plumline_str_from(argc > 1 ? argv[1] : NULL), NULL, &plum, &error) == PLUMLINE_OK &&
      plumline_client_watch(plum, PLUMLINE_STR("orders"), &watch, &error) == PLUMLINE_OK) {
    /* The first change is what is there now. A slow reader gets changes merged, and misses none. */
    while (plumline_watch_next(watch, -1, &change, &error) == PLUMLINE_OK) {
      tell(change);
      plumline_change_free(change);
    }
  }
  fprintf(stderr, "%s\n", plumline_error_message(error));
  plumline_error_free(error);
  plumline_watch_free(watch);
  plumline_client_free(plum);
  return 1;
}
