/* What is read lies in the message, the token has none but its own bytes, and the two forms are
 * never taken for each other. */
#include "auth/oauth.h"
#include "fuzz.h"

#include <ctype.h>

static void look(struct span message, struct span user, struct span token)
{
	const char *end = message.ptr + message.len;
	PROMISE(token.len > 0 && token.len <= OAUTH_TOKEN_MAX);
	PROMISE(token.ptr >= message.ptr && token.ptr + token.len < end);
	PROMISE(user.len == 0 || (user.ptr >= message.ptr && user.ptr + user.len < end));
	for (size_t i = 0; i < token.len; i++) {
		unsigned char c = (unsigned char)token.ptr[i];
		PROMISE(c < 0x80 && (isalnum(c) || (c && strchr("-._~+/=", c))));
	}
	for (size_t i = 0; i < user.len; i++) {
		PROMISE((unsigned char)user.ptr[i] >= 0x20);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size), user, token;
	bool bearer = oauth_read_oauthbearer(message, &user, &token);
	if (bearer) {
		look(message, user, token);
	}
	bool xoauth2 = oauth_read_xoauth2(message, &user, &token);
	if (xoauth2) {
		look(message, user, token);
	}
	PROMISE(!(bearer && xoauth2));
	return 0;
}
