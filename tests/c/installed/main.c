/* A program as a user writes it, in C99. */
#include <plumline.h>
#include <stdio.h>

int main(void) {
  plumline_client *plum = NULL;
  plumline_endpoints *found = NULL;
  plumline_error *error = NULL;
  if (plumline_client_new(PLUMLINE_STR("static://10.0.0.7:8080"), NULL, &plum, &error) == PLUMLINE_OK &&
      plumline_client_discover(plum, PLUMLINE_STR("orders"), NULL, &found, &error) == PLUMLINE_OK)
    printf("%s %s\n", plumline_version(), plumline_endpoint_address(plumline_endpoints_at(found, 0)).data);
  else
    fprintf(stderr, "%s\n", plumline_error_message(error));
  plumline_endpoints_free(found);
  plumline_client_close(plum, -1, NULL);
  plumline_client_free(plum);
  plumline_error_free(error);
  return found == NULL;
}
