"""Which forms of a key does Salt read? Makes an RSA pair in many forms, and some keys of other kinds, uses each as
Salt's masters and minions do, and prints a list of {name, pem, pub, half, works}: "half" is the one that was tried.

Usage: key_forms.py
"""

import json
import os
import sys
import tempfile

import salt.crypt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s

PEM, PLAIN = s.Encoding.PEM, s.NoEncryption()
PKCS1, PKCS8, OPENSSH = s.PrivateFormat.TraditionalOpenSSL, s.PrivateFormat.PKCS8, s.PrivateFormat.OpenSSH
FOLDER = tempfile.TemporaryDirectory()


def load(kind, text):
    path = os.path.join(FOLDER.name, str(len(os.listdir(FOLDER.name))))
    with open(path, "wb") as file:
        file.write(text.encode())
    # 3006 takes a path, 3008 has a method for it.
    return kind.from_file(path) if hasattr(kind, "from_file") else kind(path)


def oaep():
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)


def works_private(text, public):
    """Signs, makes a token and opens a message."""
    try:
        key = load(salt.crypt.PrivateKey, text)
        key.sign(b"message")
        key.encrypt(b"salt")
        return key.decrypt(public.encrypt(b"secret", oaep())) == b"secret"
    except Exception:
        return False


def works_public(text, private):
    """Verifies a signature, makes a secret, opens a token."""
    try:
        key = load(salt.crypt.PublicKey, text)
        opened = private.key.decrypt(key.encrypt(b"secret"), oaep())
        token = key.decrypt(private.encrypt(b"salt"))
        return key.verify(b"message", private.sign(b"message")) and (opened, token) == (b"secret", b"salt")
    except Exception:
        return False


def forms(text):
    lines = text.splitlines()
    head, body, tail = lines[0], lines[1:-1], lines[-1]
    base64_text = "".join(body)
    yield "as it is", text
    yield "no final line end", text.rstrip()
    yield "crlf", text.replace("\n", "\r\n")
    yield "cr", text.replace("\n", "\r")
    yield "empty lines around", f"\n\n{text}\n\n"
    yield "indented", "".join(f"  {line}\n" for line in lines)
    yield "body indented", "\n".join([head, *(f"\t{line}" for line in body), tail])
    yield "blanks at line ends", "".join(f"{line}  \n" for line in lines)
    yield "empty line after the first", "\n".join([head, "", *body, tail])
    yield "empty line in the middle", "\n".join([head, *body[:3], "", *body[3:], tail])
    yield "empty line before the last", "\n".join([head, *body, "", tail])
    yield "text before", f"a comment\n{text}"
    yield "text after", f"{text}a comment\n"
    yield "byte order mark", f"\ufeff{text}"
    yield "twice", text + text
    yield "header line", "\n".join([head, "Comment: mine", "", *body, tail])
    yield "one long line", "\n".join([head, base64_text, tail])
    yield "short lines", "\n".join([head, *(base64_text[i : i + 4] for i in range(0, len(base64_text), 4)), tail])
    yield "lines joined by blanks", " ".join(lines)
    yield "lines joined", "".join(lines)
    yield "no first line", "\n".join([*body, tail])
    yield "no last line", "\n".join([head, *body])
    yield "another last line", "\n".join([head, *body, "-----END X-----"])
    yield "small letters", text.replace("BEGIN", "begin")
    yield "four dashes", text.replace("-----", "----")
    yield "cut in half", "\n".join([head, *body[: len(body) // 2], tail])
    yield "no key", "x"


def private_text(key, form, encryption=PLAIN):
    return key.private_bytes(PEM, form, encryption).decode()


def public_text(key, form=s.PublicFormat.SubjectPublicKeyInfo, encoding=PEM):
    return key.public_key().public_bytes(encoding, form).decode()


def main():
    results = []
    key = rsa.generate_private_key(65537, 2048)
    pem, pub = private_text(key, PKCS1), public_text(key)
    private = load(salt.crypt.PrivateKey, pem)

    def try_private(name, text, of=key):
        works = works_private(text, of.public_key())
        results.append({"name": name, "half": "pem", "pem": text, "pub": public_text(of), "works": works})

    def try_public(name, text):
        results.append({"name": name, "half": "pub", "pem": pem, "pub": text, "works": works_public(text, private)})

    for label, form in (("pkcs1", PKCS1), ("pkcs8", PKCS8)):
        for name, text in forms(private_text(key, form)):
            try_private(f"private {label}, {name}", text)
        encrypted = private_text(key, form, s.BestAvailableEncryption(b"secret"))
        try_private(f"private {label}, encrypted", encrypted)
    for label, form in (("spki", s.PublicFormat.SubjectPublicKeyInfo), ("pkcs1", s.PublicFormat.PKCS1)):
        for name, text in forms(public_text(key, form)):
            try_public(f"public {label}, {name}", text)
    try_private("private openssh", private_text(key, OPENSSH))
    try_private("private half is the public one", pub)
    try_public("public openssh", public_text(key, s.PublicFormat.OpenSSH, s.Encoding.OpenSSH))
    try_public("public half is the private one", pem)
    for label, other in (("ec", ec.generate_private_key(ec.SECP256R1())), ("ed25519", ed25519.Ed25519PrivateKey.generate())):
        try_private(f"private {label} pkcs8", private_text(other, PKCS8))
        try_public(f"public {label}", public_text(other))
    try_private("private ec sec1", private_text(ec.generate_private_key(ec.SECP256R1()), PKCS1))

    # Numbers that do not fit each other, and some that do in another way than usual.
    numbers = key.private_numbers()
    fields = ("p", "q", "d", "dmp1", "dmq1", "iqmp", "public_numbers")
    usual = {field: getattr(numbers, field) for field in fields}
    changes = {
        "dP is wrong": {"dmp1": numbers.dmp1 + 2},
        "dQ is wrong": {"dmq1": numbers.dmq1 + 2},
        "qInv is wrong": {"iqmp": numbers.iqmp + 2},
        "d is wrong": {"d": numbers.d + 2},
        "the primes are swapped": {
            "p": numbers.q,
            "q": numbers.p,
            "dmp1": numbers.dmq1,
            "dmq1": numbers.dmp1,
            "iqmp": rsa.rsa_crt_iqmp(numbers.q, numbers.p),
        },
        "d is of phi": {"d": pow(65537, -1, (numbers.p - 1) * (numbers.q - 1))},
    }
    for name, change in changes.items():
        changed = rsa.RSAPrivateNumbers(**{**usual, **change}).private_key(unsafe_skip_rsa_key_validation=True)
        for label, form in (("pkcs1", PKCS1), ("pkcs8", PKCS8)):
            try_private(f"private {label}, {name}", private_text(changed, form))
    for bits in (1024, 2049, 2050, 2052, 2054, 2055, 2056, 3000, 3072):
        sized = rsa.generate_private_key(65537, bits)
        try_private(f"private, {bits} bits", private_text(sized, PKCS1), sized)
    cubed = rsa.generate_private_key(3, 2048)
    try_private("private, exponent 3", private_text(cubed, PKCS1), cubed)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
