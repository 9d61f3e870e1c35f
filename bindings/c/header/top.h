/*
 * Plumline: find a service, call it, survive what fails, stay registered.
 *
 * The conventions, once for all functions:
 *
 * - A function that can fail returns PLUMLINE_OK (0) or the kind of its error. Its last argument, `error`, may be NULL;
 *   otherwise *error is set: to NULL if all went well, else to an error that is yours to free.
 * - What a function makes comes out through a pointer to your variable, which is set to NULL if it fails. It is yours to
 *   free, with the `_free` function of its type, which takes NULL. Closing stops work; only freeing frees memory.
 * - A function that only reads returns something borrowed, valid until the object it was asked of is freed. For NULL it
 *   returns 0, NULL or no string.
 * - Strings in are UTF-8 with a length, borrowed for the time of the call: PLUMLINE_STR("literal"), plumline_str_from(text).
 *   Strings out have a length, and a NUL behind them.
 * - A struct that goes in begins with its size and is initialised with its PLUMLINE_..._INIT; zero in any field stands for
 *   its default. So a program built with an older or newer header works, as long as it asks for nothing that is not there.
 * - Durations are milliseconds.
 * - Any thread may use any object at any time, except a pick; freeing is the exception: nobody may use the object then, or
 *   later. A null pointer where none may be is PLUMLINE_INVALID_ARGUMENT; a dangling one cannot be told.
 * - After fork() the child may use every object it inherited. Registrations are the parent's.
 * - The library installs no signal handler, never raises SIGPIPE, writes no file and prints nothing.
 */
