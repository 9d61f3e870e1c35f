/* Chosen by a balancer: none of them. */
#define PLUMLINE_CHOOSE_NONE SIZE_MAX

/* How to begin: strings from literals, structs with their size. */

#ifdef __cplusplus

#define PLUMLINE_STR(literal) (plumline_str{"" literal "", sizeof(literal) - 1})

/* C++17 has no designated initialisers: a value with its size set and all else zero. */
template <typename Struct>
inline Struct plumline_initialised() {
  Struct value{};
  value.size = static_cast<uint32_t>(sizeof(Struct));
  return value;
}

#define PLUMLINE_INIT_OF(type) (plumline_initialised<type>())

#else

#define PLUMLINE_STR(literal) ((plumline_str){"" literal "", sizeof(literal) - 1})
#define PLUMLINE_INIT_OF(type) {.size = (uint32_t)sizeof(type)}

#endif

#define PLUMLINE_REQUEST_INIT PLUMLINE_INIT_OF(plumline_request)
#define PLUMLINE_QUERY_INIT PLUMLINE_INIT_OF(plumline_query)
#define PLUMLINE_INSTANCE_INIT PLUMLINE_INIT_OF(plumline_instance)
#define PLUMLINE_CALLBACKS_INIT PLUMLINE_INIT_OF(plumline_callbacks)
#define PLUMLINE_ENDPOINT_FIELDS_INIT PLUMLINE_INIT_OF(plumline_endpoint_fields)
#define PLUMLINE_RESPONSE_FIELDS_INIT PLUMLINE_INIT_OF(plumline_response_fields)

