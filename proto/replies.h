/*
 * Every sentence we say to a client, one row each: X(name, code, enhanced code or NULL, text).
 * At most one %s, which is replaced by the word given with the answer. RFC 5321 4.2, 5248,
 * 4954.
 */
#ifndef GATEPOST_PROTO_REPLIES_H
#define GATEPOST_PROTO_REPLIES_H

#define REPLY_TABLE(X) \
	X(GREETING, 220, NULL, "%s ESMTP Gatepost") \
	X(HELO, 250, NULL, "%s") \
	X(OK, 250, "2.0.0", "OK") \
	X(SENDER_OK, 250, "2.1.0", "Sender OK") \
	X(RECIPIENT_OK, 250, "2.1.5", "Recipient OK") \
	X(QUEUED, 250, "2.0.0", "Queued as %s") \
	X(BYE, 221, "2.0.0", "Bye") \
	X(HELP, 214, "2.0.0", \
	  "Mail submission: EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT") \
	X(VRFY, 252, "2.5.0", "Send some mail and see") \
	X(START_TLS, 220, "2.0.0", "Ready to start TLS") \
	X(AUTH_OK, 235, "2.7.0", "Authentication successful") \
	X(GO_AHEAD, 354, NULL, "End data with <CR><LF>.<CR><LF>") \
	X(BAD_COMMAND, 500, "5.5.2", "Command not recognized") \
	X(BAD_LINE, 500, "5.5.2", \
	  "A command must end in CR LF and hold no control characters") \
	X(LINE_TOO_LONG, 500, "5.5.2", "Command line too long") \
	X(AUTH_LINE_TOO_LONG, 500, "5.5.6", "Authentication exchange line is too long") \
	X(NO_ARGUMENT, 501, "5.5.4", "No argument allowed here") \
	X(BAD_ARGUMENT, 501, "5.5.4", "Syntax error in argument") \
	X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax") \
	X(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax") \
	X(BAD_BASE64, 501, "5.5.2", "Cannot decode that base64 text") \
	X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled") \
	X(AUTH_NO_INITIAL, 501, "5.7.0", "This mechanism takes no initial response") \
	X(UNSUPPORTED, 502, "5.5.1", "Command not implemented") \
	X(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence of commands") \
	X(NEED_HELO, 503, "5.5.1", "Say EHLO first") \
	X(ALREADY_TLS, 503, "5.5.1", "TLS is already active") \
	X(ALREADY_AUTH, 503, "5.5.1", "Already authenticated") \
	X(NEED_RECIPIENT, 554, "5.5.1", "No valid recipients") \
	X(BAD_MECHANISM, 504, "5.5.4", "Authentication mechanism not available") \
	X(NEED_TLS, 530, "5.7.0", "Must issue a STARTTLS command first") \
	X(NEED_AUTH, 530, "5.7.0", "Authentication required") \
	X(AUTH_FAILED, 535, "5.7.8", "Authentication credentials invalid") \
	X(AUTH_UNAVAILABLE, 454, "4.7.0", "Temporary authentication failure") \
	X(TLS_UNAVAILABLE, 454, "4.7.0", "TLS not available just now") \
	X(UNKNOWN_PARAMETER, 555, "5.5.4", "Parameter not supported") \
	X(UTF8_SENDER, 550, "5.6.7", "Non-ASCII sender addresses are not supported") \
	X(UTF8_RECIPIENT, 553, "5.6.7", "Non-ASCII recipient addresses are not supported") \
	X(UNQUALIFIED, 554, "5.1.3", "The recipient address needs a domain") \
	X(UNQUALIFIED_SENDER, 554, "5.1.7", "The sender address needs a domain") \
	X(TOO_BIG, 552, "5.3.4", "Message is larger than %s bytes") \
	X(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients in one message") \
	X(BUDGET_SPENT, 550, "5.7.1", \
	  "Sending limit of this account reached; this message was not sent%s") \
	X(BUDGET_NEVER, 550, "5.5.3", \
	  "More recipients than this account may ever have in one message%s") \
	X(BUDGET_DEFERRED, 451, "4.7.1", \
	  "Sending limit of this account reached for now, try again after %s") \
	X(BUDGET_FULL, 452, "4.7.1", \
	  "Sending limit of this account reached, its mail waits for the " \
	  "postmaster; try again later%s") \
	X(NETWORK_BARRED, 550, "5.7.1", \
	  "This network is barred for this account until its password is changed%s") \
	X(BARE_NEWLINE, 550, "5.5.2", \
	  "Message has a CR or LF that is not part of a CR LF line end") \
	X(NUL_BYTE, 550, "5.6.0", "Message has a NUL byte") \
	X(TEXT_LINE_TOO_LONG, 550, "5.6.0", "Message has a line of more than %s characters") \
	X(LOOP, 554, "5.4.6", "Too many Received fields: this message is looping") \
	X(STORE_FULL, 452, "4.3.1", "Not enough storage, try again later") \
	X(ACCOUNT_FULL, 452, "4.3.1", \
	  "Too much mail of this account is waiting, try again later") \
	X(STORE_ERROR, 451, "4.3.0", "Temporary storage failure, try again later") \
	X(STOPPED, 550, "5.7.1", \
	  "This account has been stopped (not a password problem); this mail was not sent. " \
	  "%s") \
	X(STOPPED_LOGIN, 525, "5.7.13", \
	  "This account has been stopped (not a password problem). %s") \
	X(STOPPED_BYE, 421, "4.7.0", \
	  "This account has been stopped (not a password problem). %s") \
	X(NO_MAILBOX, 550, "5.1.1", "No such address here") \
	X(NOT_A_PEER, 554, "5.7.1", "This port is for the mail server of the site") \
	X(ACCOUNT_GONE, 550, "5.7.1", \
	  "This account is not valid any more; this message was not sent%s") \
	X(SHUTDOWN, 421, "4.3.2", "Server is shutting down") \
	X(TIMEOUT, 421, "4.4.2", "Timeout, closing connection") \
	X(TOO_MANY_CONNECTIONS, 421, "4.7.0", "Too many connections") \
	X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors") \
	X(TOO_MANY_AUTH, 421, "4.7.0", "Too many failed logins") \
	X(SHUT_OUT, 421, "4.7.0", "Too many failed logins from your network, try again later") \
	X(NOT_YOUR_NAME, 550, "5.7.1", "This login may not write under that name%s") \
	X(FROM_NOT_ONE, 550, "5.7.1", \
	  "The message needs one From address, and it must be this login's%s") \
	X(LOGIN_AGAIN, 421, "4.7.0", "This login has come to its end, please log in again") \
	X(TOO_MANY_MESSAGES, 421, "4.7.0", "Too many messages in one session") \
	X(NOT_SMTP, 421, "4.7.0", "This is a mail submission server") \
	X(NO_MEMORY, 421, "4.3.0", "Short of memory, try again later")

enum reply {
#define X(name, code, enhanced, text) REPLY_##name,
	REPLY_TABLE(X)
#undef X
	    REPLY_COUNT
};

#endif
