"""Signs with botocore's CloudFrontSigner what standard input asks for as JSON; answers with JSON.

botocore never writes Hash-Algorithm: what is signed over SHA-256 says so by what is appended here.
"""

import datetime
import json
import sys

import rsa
from botocore.signers import CloudFrontSigner

asked = json.load(sys.stdin)
with open(asked["private_key"], "rb") as file:
    key = rsa.PrivateKey.load_pkcs1(file.read())
signer = CloudFrontSigner(asked["key_pair_id"], lambda message: rsa.sign(message, key, "SHA-256"))


def time(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


urls = []
for link in asked["links"]:
    if "resource" in link:
        optional = {"date_greater_than": time(link["not_before"]) if "not_before" in link else None, "ip_address": link.get("ip")}
        policy = signer.build_policy(link["resource"], time(link["expires"]), **optional)
        url = signer.generate_presigned_url(link["url"], policy=policy)
    else:
        url = signer.generate_presigned_url(link["url"], date_less_than=time(link["expires"]))
    urls.append(url + "&Hash-Algorithm=SHA256")
json.dump(urls, sys.stdout)
