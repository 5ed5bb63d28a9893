/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_WRITERS_H
#define CCS_TEST_WRITERS_H

/*
 * What the programs that people use write. Each row is a script that writes out.pfx in a folder
 * with
 *   c.pem k.pem          P-256 leaf and key; rsa-… and ed-…: the same with RSA-2048 and Ed25519
 *   inter.pem root.pem   its issuers; chain.pem both, full.pem leaf and both
 *   write.py             the text at the end
 */

#include <stddef.h>

#include <ccs/ccs.h>

struct writer {
    const char *program;
    const char *what;
    const char *script;
    const char *passwords; /* as in a password file */
    int code;              /* enum ccs_code that decoding must give */
    size_t pairs;
    size_t chain;     /* of the first pair */
    int shared;       /* the first pair's leaf is c.pem */
    const char *host; /* name in a store; NULL: not put there */
};

#define PW "wrong\npw\n"

/* openssl pkcs12 with leaf, key and chain, and more options. */
#define OPENSSL(options)                                                                           \
    "openssl pkcs12 -export -inkey k.pem -in c.pem -certfile chain.pem -name host -out out.pfx "   \
    "-passout pass:pw " options
#define OPENSSL_ROW(what, options)                                                                 \
    {                                                                                              \
        "openssl", what, OPENSSL(options), PW, CCS_OK, 1, 1, 1, NULL                               \
    }
#define OPENSSL_PBE(name)                                                                          \
    {                                                                                              \
        "openssl", name, OPENSSL("-legacy -keypbe " name " -certpbe " name), PW, CCS_OK, 1, 1, 1,  \
            NULL                                                                                   \
    }

#define KEYTOOL(options)                                                                           \
    "keytool -genkeypair -alias host -dname CN=host -keystore out.pfx -storepass password "        \
    "-storetype PKCS12 " options
/* The same from a file of openssl's. */
#define KEYTOOL_IMPORT(options)                                                                    \
    OPENSSL("")                                                                                    \
    " && mv out.pfx in.pfx && keytool " options " -importkeystore -srckeystore in.pfx "            \
    "-srcstorepass pw -srcstoretype PKCS12 -destkeystore out.pfx -deststorepass password "         \
    "-deststoretype PKCS12"
#define KEYTOOL_ROW(what, options)                                                                 \
    {                                                                                              \
        "keytool", what, KEYTOOL(options), "password", CCS_OK, 1, 0, 0, NULL                       \
    }

#define CERTTOOL(options)                                                                          \
    "certtool --to-p12 --outder --load-privkey k.pem --load-certificate full.pem --p12-name host " \
    "--outfile out.pfx " options
#define CERTTOOL_PBE(cipher)                                                                       \
    {                                                                                              \
        "certtool", cipher, CERTTOOL("--password pw --pkcs-cipher " cipher), PW, CCS_OK, 1, 1, 1,  \
            NULL                                                                                   \
    }

#define PK12UTIL(options)                                                                          \
    "rm -rf nss && mkdir nss && certutil -N -d nss --empty-password && " OPENSSL(                  \
        "") " && pk12util -i out.pfx -d nss -W pw && rm out.pfx && "                               \
            "pk12util -o out.pfx -n host -d nss -W pw " options
#define PK12UTIL_ROW(what, options)                                                                \
    {                                                                                              \
        "pk12util", what, PK12UTIL(options), PW, CCS_OK, 1, 1, 1, NULL                             \
    }

#define PYTHON_ROW(what, options)                                                                  \
    {                                                                                              \
        "python", what, "/usr/bin/python3 write.py " options, PW, CCS_OK, 1, 1, 1, NULL            \
    }

static const struct writer writers[] = {
    {"openssl", "default", OPENSSL(""), PW, CCS_OK, 1, 1, 1, "openssl.test.pfx"},
    OPENSSL_ROW("-legacy", "-legacy"),
    OPENSSL_ROW("-descert", "-descert"),
    OPENSSL_PBE("PBE-SHA1-3DES"),
    OPENSSL_PBE("PBE-SHA1-2DES"),
    OPENSSL_PBE("PBE-SHA1-RC2-40"),
    OPENSSL_PBE("PBE-SHA1-RC2-128"),
    OPENSSL_PBE("PBE-SHA1-RC4-40"),
    OPENSSL_PBE("PBE-SHA1-RC4-128"),
    OPENSSL_PBE("PBE-MD5-DES"),
    OPENSSL_PBE("PBE-SHA1-DES"),
    OPENSSL_PBE("PBE-MD5-RC2-64"),
    OPENSSL_PBE("PBE-SHA1-RC2-64"),
    OPENSSL_PBE("aes-128-cbc"),
    OPENSSL_PBE("aes-192-cbc"),
    OPENSSL_PBE("aes-256-cbc"),
    OPENSSL_PBE("camellia-128-cbc"),
    OPENSSL_PBE("aria-256-cbc"),
    OPENSSL_PBE("des-ede3-cbc"),
    OPENSSL_PBE("cast5-cbc"),
    OPENSSL_PBE("bf-cbc"),
    OPENSSL_ROW("-macalg md5", "-macalg md5"),
    OPENSSL_ROW("-macalg sha1", "-macalg sha1"),
    OPENSSL_ROW("-macalg sha224", "-macalg sha224"),
    OPENSSL_ROW("-macalg sha384", "-macalg sha384"),
    OPENSSL_ROW("-macalg sha512", "-macalg sha512"),
    OPENSSL_ROW("-macalg sha512-256", "-macalg sha512-256"),
    OPENSSL_ROW("-macalg sha3-256", "-macalg sha3-256"),
    OPENSSL_ROW("-macalg ripemd160", "-legacy -macalg ripemd160"),
    OPENSSL_ROW("-keypbe NONE", "-keypbe NONE"),
    OPENSSL_ROW("-certpbe NONE", "-certpbe NONE"),
    OPENSSL_ROW("-keypbe NONE -certpbe NONE", "-keypbe NONE -certpbe NONE"),
    OPENSSL_ROW("-nomac", "-nomac"),
    OPENSSL_ROW("-nomac -keypbe NONE -certpbe NONE", "-nomac -keypbe NONE -certpbe NONE"),
    OPENSSL_ROW("-noiter -nomaciter", "-noiter -nomaciter"),
    OPENSSL_ROW("-iter 600000", "-iter 600000"),
    {"openssl", "-iter 2000001", OPENSSL("-iter 2000001 -nomac"), PW, CCS_EROUNDS, 0, 0, 0, NULL},
    OPENSSL_ROW("-LMK", "-LMK"),
    {"openssl", "RSA",
     "openssl pkcs12 -export -inkey rsa-k.pem -in rsa-c.pem -certfile inter.pem "
     "-passout pass:pw -out out.pfx",
     PW, CCS_OK, 1, 1, 0, NULL},
    {"openssl", "Ed25519",
     "openssl pkcs12 -export -inkey ed-k.pem -in ed-c.pem -certfile inter.pem "
     "-passout pass:pw -out out.pfx",
     PW, CCS_OK, 1, 1, 0, NULL},
    {"openssl", "RSA-PSS",
     "openssl req -x509 -newkey rsa-pss -nodes -keyout x.pem -out y.pem -subj "
     "/CN=host && openssl pkcs12 -export -inkey x.pem -in y.pem -passout pass:pw -out out.pfx",
     PW, CCS_OK, 1, 0, 0, NULL},
    {"openssl", "DSA",
     "openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 "
     "-out p.pem && openssl genpkey -paramfile p.pem -out x.pem && openssl req -x509 -key x.pem "
     "-out y.pem -subj /CN=host && openssl pkcs12 -export -inkey x.pem -in y.pem -passout pass:pw "
     "-out out.pfx",
     PW, CCS_EKEYUSE, 0, 0, 0, NULL},
    {"openssl", "empty password", OPENSSL("-legacy -passout pass:"), PW, CCS_OK, 1, 1, 1, NULL},
    {"openssl", "password in UTF-8", OPENSSL("-passout pass:gr\xc3\xbc\xc3\x9f"),
     "gr\xc3\xbc\xc3\x9f", CCS_OK, 1, 1, 1, NULL},
    {"openssl", "password in Latin-1, file in UTF-8", OPENSSL("-passout pass:gr\xfc\xdf"),
     "gr\xc3\xbc\xc3\x9f", CCS_OK, 1, 1, 1, NULL},
    {"openssl", "-twopass, both known",
     "printf 'pw\\npw\\nother\\nother\\n' | openssl pkcs12 -export -inkey k.pem -in c.pem "
     "-certfile "
     "chain.pem -twopass -out out.pfx",
     "pw\nother", CCS_OK, 1, 1, 1, NULL},
    {"openssl", "-twopass, one known",
     "printf 'pw\\npw\\nother\\nother\\n' | openssl pkcs12 -export -inkey k.pem -in c.pem "
     "-certfile "
     "chain.pem -twopass -out out.pfx",
     PW, CCS_EPASSWORD, 0, 0, 0, NULL},
    {"openssl", "wrong password", OPENSSL("-passout pass:other"), PW, CCS_EPASSWORD, 0, 0, 0, NULL},
    {"openssl", "-nokeys",
     "openssl pkcs12 -export -nokeys -in full.pem -passout pass:pw -out out.pfx", PW, CCS_ENOKEY, 0,
     0, 0, NULL},
    {"openssl", "-nocerts",
     "openssl pkcs12 -export -nocerts -inkey k.pem -passout pass:pw -out out.pfx", PW, CCS_ENOCERT,
     0, 0, 0, NULL},
    {"openssl", "half of it", OPENSSL("") " && head -c 700 out.pfx >half && mv half out.pfx", PW,
     CCS_EINCOMPLETE, 0, 0, 0, NULL},
    {"openssl", "zero padding", OPENSSL("") " && head -c 512 /dev/zero >>out.pfx", PW, CCS_OK, 1, 1,
     1, NULL},
    {"openssl", "PEM", "cat c.pem k.pem >out.pfx", PW, CCS_EFORMAT, 0, 0, 0, NULL},
    {"openssl", "base64", OPENSSL("") " && base64 out.pfx >text && mv text out.pfx", PW,
     CCS_EFORMAT, 0, 0, 0, NULL},
    {"openssl", "certificate in DER", "openssl x509 -in c.pem -outform der -out out.pfx", PW,
     CCS_EFORMAT, 0, 0, 0, NULL},
    {"openssl", "PKCS#7", "openssl crl2pkcs7 -nocrl -certfile full.pem -outform der -out out.pfx",
     PW, CCS_EFORMAT, 0, 0, 0, NULL},
    {"openssl", "PKCS#8, encrypted",
     "openssl pkcs8 -topk8 -in k.pem -outform der -passout pass:pw "
     "-out out.pfx",
     PW, CCS_EFORMAT, 0, 0, 0, NULL},
    {"openssl", "CMS to a certificate",
     "openssl req -x509 -newkey rsa:2048 -nodes -keyout x.pem -out y.pem -subj /CN=host && openssl "
     "cms "
     "-encrypt -in c.pem -outform der -out out.pfx y.pem",
     PW, CCS_EFORMAT, 0, 0, 0, NULL},

    {"keytool", "-importkeystore", KEYTOOL_IMPORT(""), "pw\npassword", CCS_OK, 1, 1, 1,
     "keytool.test.pfx"},
    {"keytool", "-importkeystore, legacy", KEYTOOL_IMPORT("-J-Dkeystore.pkcs12.legacy"),
     "pw\npassword", CCS_OK, 1, 1, 1, NULL},
    {"keytool", "-storepasswd",
     KEYTOOL_IMPORT(
         "") " && keytool -storepasswd -keystore out.pfx -storepass password -new second",
     "second", CCS_OK, 1, 1, 1, NULL},
    KEYTOOL_ROW("-genkeypair RSA", "-keyalg RSA"),
    KEYTOOL_ROW("-genkeypair EC", "-keyalg EC"),
    KEYTOOL_ROW("-genkeypair Ed25519", "-keyalg Ed25519"),
    KEYTOOL_ROW("-genkeypair RSASSA-PSS", "-keyalg RSASSA-PSS"),
    KEYTOOL_ROW("legacy", "-keyalg EC -J-Dkeystore.pkcs12.legacy"),
    KEYTOOL_ROW("3DES",
                "-keyalg EC -J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithSHA1AndDESede "
                "-J-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithSHA1AndDESede"),
    KEYTOOL_ROW("RC4",
                "-keyalg EC -J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithSHA1AndRC4_128 "
                "-J-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithSHA1AndRC4_40"),
    KEYTOOL_ROW("AES-128, SHA-512",
                "-keyalg EC "
                "-J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA512AndAES_128 "
                "-J-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithHmacSHA1AndAES_256 "
                "-J-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA512"),
    KEYTOOL_ROW(
        "certificates and MAC: NONE",
        "-keyalg EC "
        "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE"),
    {"keytool", "two pairs",
     KEYTOOL("-keyalg EC") " && keytool -genkeypair -alias second -dname "
                           "CN=second -keystore out.pfx -storepass password -keyalg RSA",
     "password", CCS_OK, 2, 0, 0, NULL},
    {"keytool", "a secret key beside",
     KEYTOOL("-keyalg EC") " && keytool -genseckey -alias aes "
                           "-keyalg AES -keysize 128 -keystore out.pfx -storepass password",
     "password", CCS_OK, 1, 0, 0, NULL},
    {"keytool", "a trusted certificate beside",
     KEYTOOL(
         "-keyalg EC") " && keytool -importcert "
                       "-noprompt -alias ca -file root.pem -keystore out.pfx -storepass password",
     "password", CCS_OK, 1, 0, 0, NULL},
    {"keytool", "trusted certificates only",
     "keytool -importcert -noprompt -alias ca -file root.pem "
     "-keystore out.pfx -storepass password -storetype PKCS12",
     "password", CCS_ENOKEY, 0, 0, 0, NULL},
    {"keytool", "JKS",
     "keytool -genkeypair -alias host -dname CN=host -keystore out.pfx -storepass "
     "password -keyalg EC -storetype JKS",
     "password", CCS_EFORMAT, 0, 0, 0, NULL},
    {"keytool", "JCEKS",
     "keytool -genkeypair -alias host -dname CN=host -keystore out.pfx -storepass "
     "password -keyalg EC -storetype JCEKS",
     "password", CCS_EFORMAT, 0, 0, 0, NULL},
    {"keytool", "DSA", KEYTOOL("-keyalg DSA -keysize 1024"), "password", CCS_EKEYUSE, 0, 0, 0,
     NULL},
    {"keytool", "wrong password", KEYTOOL("-keyalg EC"), PW, CCS_EPASSWORD, 0, 0, 0, NULL},

    {"certtool", "default", CERTTOOL("--password pw"), PW, CCS_OK, 1, 1, 1, "certtool.test.pfx"},
    CERTTOOL_PBE("3des"),
    CERTTOOL_PBE("3des-pkcs12"),
    CERTTOOL_PBE("aes-128"),
    CERTTOOL_PBE("aes-192"),
    CERTTOOL_PBE("aes-256"),
    CERTTOOL_PBE("rc2-40"),
    CERTTOOL_PBE("arcfour"),
    {"certtool", "--empty-password", CERTTOOL("--empty-password"), PW, CCS_OK, 1, 1, 1, NULL},
    {"certtool", "--null-password", CERTTOOL("--null-password"), PW, CCS_OK, 1, 1, 1, NULL},
    {"certtool", "--null-password, rc2-40", CERTTOOL("--null-password --pkcs-cipher rc2-40"), PW,
     CCS_OK, 1, 1, 1, NULL},
    {"certtool", "wrong password", CERTTOOL("--password other"), "pw", CCS_EPASSWORD, 0, 0, 0,
     NULL},

    {"pk12util", "default", PK12UTIL(""), PW, CCS_OK, 1, 1, 1, "pk12util.test.pfx"},
    PK12UTIL_ROW("AES-256", "-c AES-256-CBC -C AES-256-CBC"),
    PK12UTIL_ROW("RC2-40", "-c 'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC' "
                           "-C 'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC'"),
    PK12UTIL_ROW("3DES", "-c 'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC' "
                         "-C 'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC'"),
    PK12UTIL_ROW("Camellia", "-c CAMELLIA-256-CBC -C CAMELLIA-256-CBC"),
    PK12UTIL_ROW("certificates: none", "-C none"),
    PK12UTIL_ROW("-M SHA-1", "-M SHA-1"),
    PK12UTIL_ROW("-M SHA-512", "-M SHA-512"),

    {"python", "BestAvailableEncryption", "/usr/bin/python3 write.py best", PW, CCS_OK, 1, 1, 1,
     "python.test.pfx"},
    PYTHON_ROW("NoEncryption", "none"),
    PYTHON_ROW("3DES, MAC SHA-1", "PBESv1SHA1And3KeyTripleDESCBC SHA1"),
    PYTHON_ROW("3DES, MAC SHA-256", "PBESv1SHA1And3KeyTripleDESCBC SHA256"),
    PYTHON_ROW("AES-256, MAC SHA-1", "PBESv2SHA256AndAES256CBC SHA1"),
    PYTHON_ROW("AES-256, MAC SHA-512", "PBESv2SHA256AndAES256CBC SHA512"),
};

static const char writers_python[] =
    "import sys\n"
    "from cryptography import x509\n"
    "from cryptography.hazmat.primitives import hashes\n"
    "from cryptography.hazmat.primitives.serialization import *\n"
    "from cryptography.hazmat.primitives.serialization import pkcs12\n"
    "key = load_pem_private_key(open('k.pem', 'rb').read(), None)\n"
    "cert, inter, root = [x509.load_pem_x509_certificate(open(name, 'rb').read())\n"
    "                     for name in ('c.pem', 'inter.pem', 'root.pem')]\n"
    "if sys.argv[1] == 'none':\n"
    "    how = NoEncryption()\n"
    "elif sys.argv[1] == 'best':\n"
    "    how = BestAvailableEncryption(b'pw')\n"
    "else:\n"
    "    how = (PrivateFormat.PKCS12.encryption_builder().kdf_rounds(5000)\n"
    "           .key_cert_algorithm(getattr(pkcs12.PBES, sys.argv[1]))\n"
    "           .hmac_hash(getattr(hashes, sys.argv[2])()).build(b'pw'))\n"
    "open('out.pfx', 'wb').write(\n"
    "    pkcs12.serialize_key_and_certificates(b'host', key, cert, [inter, root], how))\n";

#endif
