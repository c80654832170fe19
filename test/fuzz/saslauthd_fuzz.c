/* Only a whole "OK..." behind its length is a yes, whatever comes over the socket. */
#include "auth/backend_kinds.h"
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	struct error error = { .text = "" };
	const struct backend_rules rules = { .service = "smtp", .domain = "example.org" };
	const struct backend_question question = { .user = SPAN_LIT("alice"),
		                                   .password = SPAN_LIT("secret") };
	size = size < 4096 ? size : 4096;
	PROMISE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	PROMISE(size == 0 || send(pair[1], data, size, 0) == (ssize_t)size);
	PROMISE(shutdown(pair[1], SHUT_WR) == 0);
	struct wire wire = { .fd = pair[0], .deadline = wire_now() + 10000, .name = "fuzz" };
	enum backend_answer answer = saslauthd_talk(&wire, &rules, &question, &error);
	wire_close(&wire);
	close(pair[1]);
	size_t len = size < 2 ? 0 : (size_t)(data[0] << 8 | data[1]);
	bool whole = size >= 4 && len >= 2 && size >= 2 + len;
	bool yes = whole && len <= 1024 && data[2] == 'O' && data[3] == 'K';
	PROMISE((answer == BACKEND_RIGHT) == yes);
	PROMISE(answer != BACKEND_WRONG || (whole && data[2] == 'N' && data[3] == 'O'));
	PROMISE(answer != BACKEND_UNAVAILABLE || error.text[0]);
	return 0;
}
