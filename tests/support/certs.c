/* A CA and what it signs: valid for a day, but for the expired one. */
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "support.h"

static void
extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX	 ctx;
	X509_EXTENSION	*ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (ext == NULL || X509_add_ext(cert, ext, -1) != 1)
		give_up("certificate extension %s", value);
	X509_EXTENSION_free(ext);
}

/* issuer NULL: self-signed CA; san: the names of a server, NULL: a client. */
static X509 *
certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *san,
    long seconds)
{
	X509		*cert = X509_new();
	X509_NAME	*subject = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer != NULL ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
	X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
	    -1, 0);
	if (issuer == NULL) {
		issuer = cert;
		extend(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
		extend(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
	} else {
		extend(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
		extend(cert, issuer, NID_ext_key_usage, san != NULL ? "serverAuth" : "clientAuth");
		if (san != NULL)
			extend(cert, issuer, NID_subject_alt_name, san);
	}
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	if (X509_sign(cert, issuer_key, EVP_sha256()) == 0)
		give_up("cannot sign a certificate");
	return cert;
}

static FILE *
pem_open(const char *dir, const char *name)
{
	char	 path[PATH_SIZE];
	FILE	*f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "we")) == NULL)
		give_up("%s: %s", path, strerror(errno));
	return f;
}

static void
cert_write(const char *dir, const char *name, X509 *cert)
{
	FILE	*f = pem_open(dir, name);

	if (PEM_write_X509(f, cert) != 1 || fclose(f) != 0)
		give_up("cannot write %s", name);
}

void
certs_make(const char *dir)
{
	static const struct {
		const char *file, *name, *san;
		long seconds;
	} signs[] = {
		{ "cert.pem", "localhost", "DNS:localhost,IP:127.0.0.1", 86400 },
		{ "expired.pem", "localhost", "DNS:localhost,IP:127.0.0.1", -3600 },
		{ "other.pem", "elsewhere.example", "DNS:elsewhere.example", 86400 },
		{ "client.pem", "mcp-authd", NULL, 86400 },
	};
	EVP_PKEY	*ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509		*ca, *cert;
	size_t		 i;
	FILE		*f;

	if (ca_key == NULL || key == NULL)
		give_up("no keys");
	ca = certificate("mcp-authd test CA", ca_key, NULL, ca_key, NULL, 86400);
	cert_write(dir, "ca.pem", ca);
	for (i = 0; i < nitems(signs); i++) {
		cert = certificate(signs[i].name, key, ca, ca_key, signs[i].san, signs[i].seconds);
		cert_write(dir, signs[i].file, cert);
		X509_free(cert);
	}
	f = pem_open(dir, "key.pem");
	if (PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) != 1 || fclose(f) != 0)
		give_up("cannot write the key");
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}
