/* Keys and certificates made for a test, as PEM files in a folder of their own. */
#ifndef GATEPOST_TEST_SERVER_CERTIFICATE_H
#define GATEPOST_TEST_SERVER_CERTIFICATE_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct certificate_folder {
	char path[64];
};

static inline void certificate_folder_make(struct certificate_folder *folder)
{
	*folder = (struct certificate_folder){ .path = "/tmp/gatepost-test-XXXXXX" };
	char *made = mkdtemp(folder->path);
	assert(made);
}

static inline int certificate_remove(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void certificate_folder_remove(struct certificate_folder *folder)
{
	nftw(folder->path, certificate_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Good until seven more were asked for. */
static inline const char *certificate_file(const struct certificate_folder *folder,
                                           const char *name)
{
	static char names[8][128];
	static unsigned next;
	char *at = names[next++ % 8];
	snprintf(at, sizeof(names[0]), "%s/%s", folder->path, name);
	return at;
}

static inline void certificate_text(struct certificate_folder *folder, const char *name,
                                    const char *text)
{
	FILE *file = fopen(certificate_file(folder, name), "w");
	assert(file);
	fputs(text, file);
	fclose(file);
}

/* `passphrase` may be NULL. */
static inline void certificate_key(struct certificate_folder *folder, const char *name,
                                   EVP_PKEY *key, const char *passphrase)
{
	FILE *file = fopen(certificate_file(folder, name), "w");
	int done = file &&
	           PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL,
	                                0, NULL, (void *)(uintptr_t)passphrase);
	assert(done);
	fclose(file);
}

/* Self-signed, from a day ago until `seconds` from now. `md` is NULL for an Ed25519 key. */
static inline void certificate_signed(struct certificate_folder *folder, const char *name,
                                      EVP_PKEY *key, long seconds, const EVP_MD *md)
{
	X509 *x509 = X509_new();
	X509_set_version(x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x509), seconds);
	X509_set_pubkey(x509, key);
	X509_NAME *subject = X509_get_subject_name(x509);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	                           (const unsigned char *)"mail.example.org", -1, -1, 0);
	X509_set_issuer_name(x509, subject);
	X509_EXTENSION *is_ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
	                                            "critical,CA:TRUE");
	X509_add_ext(x509, is_ca, -1);
	X509_EXTENSION_free(is_ca);
	int done = X509_sign(x509, key, md);
	FILE *file = fopen(certificate_file(folder, name), "w");
	assert(done && file);
	PEM_write_X509(file, x509);
	fclose(file);
	X509_free(x509);
}

static inline void certificate_make(struct certificate_folder *folder, const char *name,
                                    EVP_PKEY *key, long seconds)
{
	certificate_signed(folder, name, key, seconds, EVP_sha256());
}

/* A client's, in memory, signed with `ca` by the CA of certificate_make. `common`, `email`
 * (emailAddress) of its subject and `alternative` ("email:a@b", "DNS:x,email:a@b") may be NULL;
 * `common` may hold any bytes. The caller's. */
struct certificate_client {
	const char *common;
	int common_len; /* -1: to its NUL */
	const char *email, *alternative;
	long seconds; /* until it ends */
};

static inline X509 *certificate_of_client(const struct certificate_client *client,
                                          EVP_PKEY *key, EVP_PKEY *ca)
{
	X509 *x509 = X509_new();
	X509_set_version(x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 2);
	X509_gmtime_adj(X509_getm_notBefore(x509), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x509), client->seconds);
	X509_set_pubkey(x509, key);
	X509_NAME *issuer = X509_get_issuer_name(x509), *subject = X509_get_subject_name(x509);
	X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC,
	                           (const unsigned char *)"mail.example.org", -1, -1, 0);
	if (client->common) {
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
		                           (const unsigned char *)client->common,
		                           client->common_len, -1, 0);
	}
	if (client->email) {
		X509_NAME_add_entry_by_txt(subject, "emailAddress", MBSTRING_ASC,
		                           (const unsigned char *)client->email, -1, -1, 0);
	}
	if (client->alternative) {
		X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
		                                            client->alternative);
		assert(names);
		X509_add_ext(x509, names, -1);
		X509_EXTENSION_free(names);
	}
	int done = X509_sign(x509, ca, EVP_sha256());
	assert(done);
	return x509;
}

/* "cert.pem" and "key.pem", ECDSA P-256. */
static inline void certificate_pair(struct certificate_folder *folder)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	certificate_key(folder, "key.pem", key, NULL);
	certificate_make(folder, "cert.pem", key, 86400);
	EVP_PKEY_free(key);
}

#endif
