/*
 * Cyrus's client against auth/sasl, for the mechanisms in which both sides prove something. To
 * be included after sasl_site.h, by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_SASL_CLIENT_H
#define GATEPOST_TEST_AUTH_SASL_CLIENT_H

#include <sasl/sasl.h>
#include <time.h>

struct client {
	const char *user;
	const char *authzid;
	const char *password;
	const char *mechanism;
	const char *binding; /* what it binds to: a kind; NULL: nothing */
	struct span data;
	sasl_secret_t *secret;
};

static inline int client_name(void *context, int id, const char **result, unsigned *len)
{
	const struct client *client = context;
	*result = id == SASL_CB_AUTHNAME ? client->user : client->authzid;
	if (len) {
		*len = (unsigned)strlen(*result);
	}
	return SASL_OK;
}

static inline int client_secret(sasl_conn_t *conn, void *context, int id,
                                sasl_secret_t **secret)
{
	const struct client *client = context;
	(void)conn;
	(void)id;
	*secret = client->secret;
	return SASL_OK;
}

static inline int client_path(void *context, const char **path)
{
	(void)context;
	*path = GATEPOST_SASL_PLUGINS;
	return SASL_OK;
}

static inline int client_verify(void *context, const char *file, sasl_verify_type_t type)
{
	(void)context;
	return type == SASL_VRFY_PLUGIN && strstr(file, "libscram") ? SASL_OK : SASL_CONTINUE;
}

#define CALLBACK(f) ((int (*)(void))(void (*)(void))(f))

static inline int open_client(void **state)
{
	static const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETPATH, CALLBACK(client_path), NULL },
		{ SASL_CB_VERIFYFILE, CALLBACK(client_verify), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	(void)state;
	return sasl_client_init(callbacks) == SASL_OK ? 0 : -1;
}

static inline int close_client(void **state)
{
	(void)state;
	return sasl_client_done() == SASL_OK ? 0 : -1;
}

struct exchange {
	enum sasl_status status;
	unsigned rounds;     /* steps the server took */
	double server_us;    /* time it took for them */
	char challenge[512]; /* its first */
	char account[256];
	int client; /* Cyrus's code */
};

static inline double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline void converse(sasl_conn_t *conn, const char *mechanism,
                            struct sasl_attempt *attempt, struct exchange *x)
{
	const char *reply = NULL;
	const char *chosen = NULL;
	unsigned len = 0;
	struct buf challenge = { .cap = 4096 };
	x->client = sasl_client_start(conn, mechanism, NULL, &reply, &len, &chosen);
	x->status = SASL_MORE;
	while (x->status == SASL_MORE && (x->client == SASL_CONTINUE || x->client == SASL_OK)) {
		struct span response = span_of(reply, len);
		buf_clear(&challenge);
		double start = now_us();
		x->status = x->rounds++ == 0 ? sasl_attempt_start(attempt, span_str(mechanism),
		                                                  &response, &challenge)
		                             : sasl_attempt_step(attempt, response, &challenge);
		x->server_us += now_us() - start;
		if (x->rounds == 1) {
			snprintf(x->challenge, sizeof x->challenge, "%.*s",
			         SPAN_ARG(buf_span(&challenge)));
		}
		if (x->status == SASL_MORE) {
			x->client = sasl_client_step(
			    conn, challenge.ptr, (unsigned)challenge.len, NULL, &reply, &len);
		}
	}
	buf_done(&challenge);
}

static inline struct exchange exchange_with(struct client *client, struct sasl_attempt *attempt)
{
	struct exchange x = { .rounds = 0 };
	size_t len = strlen(client->password);
	client->secret = malloc(sizeof(sasl_secret_t) + len + 1);
	client->secret->len = len;
	memcpy(client->secret->data, client->password, len + 1);
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_AUTHNAME, CALLBACK(client_name), client },
		{ SASL_CB_USER, CALLBACK(client_name), client },
		{ SASL_CB_PASS, CALLBACK(client_secret), client },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	const sasl_channel_binding_t binding = {
		.name = client->binding,
		.critical = 1,
		.len = client->data.len,
		.data = (const unsigned char *)client->data.ptr,
	};
	sasl_conn_t *conn = NULL;
	assert_int_equal(
	    sasl_client_new("smtp", "mail.example.org", NULL, NULL, callbacks, 0, &conn),
	    SASL_OK);
	if (client->binding) {
		sasl_setprop(conn, SASL_CHANNEL_BINDING, &binding);
	}
	converse(conn, client->mechanism, attempt, &x);
	snprintf(x.account, sizeof x.account, "%.*s", SPAN_ARG(sasl_attempt_account(attempt)));
	sasl_dispose(&conn);
	free(client->secret);
	return x;
}

static inline struct exchange scram_by(const char *mechanism, const char *user,
                                       const char *authzid, const char *password)
{
	struct client client = {
		.user = user, .authzid = authzid, .password = password, .mechanism = mechanism
	};
	struct sasl_attempt *attempt = new_attempt(TLS_BITS);
	struct exchange x = exchange_with(&client, attempt);
	sasl_attempt_free(attempt);
	return x;
}

static inline struct exchange scram(const char *user, const char *authzid, const char *password)
{
	return scram_by("SCRAM-SHA-256", user, authzid, password);
}

/* Salt and iterations of a SCRAM challenge: what follows the nonce. */
static inline const char *salt_of(const struct exchange *x)
{
	const char *salt = strstr(x->challenge, ",s=");
	assert_non_null(salt);
	return salt;
}

#endif
