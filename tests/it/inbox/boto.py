"""boto3 as a client of the inbox, unmodified: what people's scripts do, one operation a call.

    boto.py ENDPOINT ACCESS_KEY_ID SECRET OPERATION ARGUMENT...
"""

import os
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

MIB = 1 << 20
BUCKET = "inbox"


def put(s3, path, key):
    with open(path, "rb") as body:
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def multipart(s3, path, key):
    s3.upload_file(path, BUCKET, key, Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB))


def send(url, body):
    """Sends a body to a presigned URL as a script without any SDK does; gives the entity tag."""
    request = urllib.request.Request(url, data=body, method="PUT")
    with urllib.request.urlopen(request) as answer:
        return answer.headers["ETag"]


def presigned(s3, path, key):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=60)
    with open(path, "rb") as file:
        send(url, file.read())


def presigned_parts(s3, path, key):
    upload = {"Bucket": BUCKET, "Key": key, "UploadId": s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]}
    parts = []
    with open(path, "rb") as file:
        while body := file.read(5 * MIB):
            number = len(parts) + 1
            url = s3.generate_presigned_url("upload_part", Params={**upload, "PartNumber": number}, ExpiresIn=60)
            parts.append({"PartNumber": number, "ETag": send(url, body)})
    listed = s3.list_parts(**upload)["Parts"]
    assert [(part["PartNumber"], part["ETag"]) for part in listed] == [(part["PartNumber"], part["ETag"]) for part in parts], listed
    assert upload["UploadId"] in [it["UploadId"] for it in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def folder(s3, path, prefix):
    for place, _, names in os.walk(path):
        for name in names:
            full = os.path.join(place, name)
            s3.upload_file(full, BUCKET, prefix + os.path.relpath(full, path))


def ls(s3):
    for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        print(found["Key"])


def delete(s3, key):
    s3.delete_object(Bucket=BUCKET, Key=key)
    assert not s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]}).get("Errors")


def main():
    endpoint, access_key, secret, operation, *arguments = sys.argv[1:]
    # One try: what the server refuses, the test must see.
    # Version 4 has to be asked for: boto3 still presigns by version 2 where nobody says so, which no server of today takes.
    config = Config(retries={"total_max_attempts": 1}, signature_version="s3v4")
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=config,
    )
    globals()[operation](s3, *arguments)


main()
