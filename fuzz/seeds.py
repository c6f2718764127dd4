#!/usr/bin/env python3
"""Cuts media that scripts/make-seeds made into seeds for the fuzz targets: seeds.py MEDIA CORPUS."""

import struct
import subprocess
import sys
from pathlib import Path

media, corpus = Path(sys.argv[1]), Path(sys.argv[2])
# What the product asks ffprobe for (crates/media/src/probe/streams.rs); the packets are those of packets_argv.
STREAMS = (
    "stream=index,codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,color_transfer,"
    "color_primaries,field_order,avg_frame_rate,time_base,nb_frames,channels,sample_rate"
    ":stream_disposition=attached_pic,timed_thumbnails:stream_side_data=rotation"
)
PACKETS = "packet=stream_index,pts,dts,duration,size,pos,flags"


def put(target, name, data):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at : at + size], data[at + 8 : at + size]
        at += size


def ffprobe(path, *wanted):
    command = ["ffprobe", "-v", "error", "-hide_banner", "-show_entries", *wanted, str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def index():
    for name in ["plain.mp4", "pause.mp4", "bare.mov"]:
        data = (media / name).read_bytes()
        put("index", name, next(body for kind, _, body in boxes(data) if kind == b"moov"))


def probe():
    for knobs, name in [(4, "plain.mp4"), (1, "film.mkv"), (2, "stream.ts"), (0, "bare.mov"), (4, "sound.frag"), (3, "pause.mp4")]:
        report = ffprobe(media / name, STREAMS, "-of", "json=c=1")
        lines = ffprobe(media / name, PACKETS, "-of", "compact=p=0")
        put("probe", name, bytes([knobs]) + report + b"\0" + lines + b"\0partial file")
    jumping = b"".join(b"stream_index=0|pts=%d|dts=%d|duration=3600|size=90|flags=K_\nstream_index=1|pts=%d|dts=%d|duration=1920|size=9|flags=K_\n"
                       % (at, at, at, at) for at in [*range(0, 36000, 3600), *range(8589900000, 8589930000, 3600)])
    report = ffprobe(media / "stream.ts", STREAMS, "-of", "json=c=1")
    put("probe", "jump", bytes([2]) + report + b"\0" + jumping + b"\0")
    put("probe", "seen", b"\0{}\0#tb 0: 1/90000\n0,   3600,   3600,  1, 472, 0x1\n0,      0,      0,  1, 472, 0x1\n\0")


def fragments():
    for knobs, name in [(3 | 40, "picture.frag"), (1 | 8, "copied.frag"), (0 | 80, "sound.frag")]:
        put("fragments", name, bytes([knobs]) + (media / name).read_bytes())


def words(*values):
    return b"".join(struct.pack(">I", value) for value in values)


def box(kind, body):
    return words(len(body) + 8) + kind + body


def segments():
    """A segment as crates/media/src/cmaf/fragment.rs writes it."""
    samples = [b"\0\0\0\x02\x65\x88", b"\0\0\0\x02\x41\x9a", b"\0\0\0\x02\x01\x9e"]
    offsets, flags = [3600, 7200, -3600 & 0xFFFFFFFF], [0x02000000, 0x01010000, 0x01010000]
    entries = b"".join(words(3600, len(data), flag, offset) for data, flag, offset in zip(samples, flags, offsets))

    def moof(at):
        trun = box(b"trun", words(0x01000F01, len(samples), at) + entries)
        traf = box(b"tfhd", words(0x00020000, 1)) + box(b"tfdt", words(0x01000000, 0, 90000)) + trun
        return box(b"moof", box(b"mfhd", words(0, 1)) + box(b"traf", traf))

    data = box(b"styp", b"msdh\0\0\0\0msdhmsixcmfs") + moof(len(moof(0)) + 8) + box(b"mdat", b"".join(samples))
    put("segments", "segment", data)
    whole = (media / "plain.mp4").read_bytes()
    moov = next(all_of for kind, all_of, _ in boxes(whole) if kind == b"moov")
    put("segments", "with-moov", data[:28] + moov + data[28:])


def unit(data):
    return words(len(data)) + data


def nal():
    picture = unit(b"\x09\xf0") + unit(b"\x67\x01") + unit(b"\x68\x02") + unit(b"\x06\x01\x02\x07\x07\x80") + unit(b"\x65\x88\x84")
    put("nal", "idr", b"\0" + picture)
    put("nal", "other", b"\x05" + unit(b"\x06\x05\x03abc\x80") + unit(b"\x41\x9a") + unit(b"\x0c\xff"))
    put("nal", "further", b"\x28" + b"\0\0\1\0\x06\5\xc8")


MASTER = b"""#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="b"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,CODECS="avc1.64001f",RESOLUTION=64x64,URI="i.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000,AVERAGE-BANDWIDTH=1900,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=64x64,FRAME-RATE=3.000,AUDIO="audio"
a/playlist.m3u8
"""
PLAYLIST = b"""#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-KEY:METHOD=AES-128,URI="keys/0"
#EXTINF:1.000000,
000000-1.m4s
#EXT-X-ENDLIST
"""


def playlists():
    segment = (corpus / "segments" / "seed-segment").read_bytes()
    init = next(body for kind, body, _ in boxes((media / "picture.frag").read_bytes()) if kind == b"moov")
    put("playlists", "picture", MASTER + b"\0" + PLAYLIST + b"\0" + init + segment)
    put("playlists", "keys", MASTER + b"\0" + PLAYLIST.replace(b"#EXTINF", b'#EXT-X-KEY:METHOD=NONE\n#EXTINF') + b"\0" + segment)


CHUNKED = b"x-amz-decoded-content-length:3\nx-amz-trailer:x-amz-checksum-crc32\ncontent-encoding:aws-chunked"
SIGNED = b";chunk-signature=" + b"a" * 64 + b"\r\n"
XML = b'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>"%s"</ETag></Part></CompleteMultipartUpload>'
DELETE = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a.mp4</Key></Object><Quiet>true</Quiet></Delete>'
PARTS = b'"parts":[{"number":1,"size_bytes":9,"sha256":"%s"}]' % (b"0" * 64)


def uploads():
    put("uploads", "announce", b"\0\0" + b'{"filename":"heart.mp4","title":"A lecture","size_bytes":9,' + PARTS + b"}")
    key = b"Course/heart.mp4"
    for name, route, parts in [
        ("object", 24, [key, b"content-type:video/mp4", b"abc"]),
        ("object-checked", 0, [key, b"x-amz-checksum-crc32:NSRBwg==", b"abc"]),
        ("chunked", 8, [key, CHUNKED, b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"]),
        ("chunked-signed", 16, [key, CHUNKED, b"3" + SIGNED + b"abc\r\n0" + SIGNED + b"\r\n"]),
        ("part", 25, [b"", b"", b"abc"]),
        ("complete", 26, [b"", b"content-type:application/xml", XML % b"900150983cd24fb0d6963f7d28e17f72"]),
        ("delete", 27, [b"", b"content-md5:AAAAAAAAAAAAAAAAAAAAAA==", DELETE]),
        ("list", 28, [b"Course/", b"", b""]),
        ("begin", 29, [key, b"x-amz-checksum-algorithm:CRC32C", b""]),
        ("parts", 30, [b"1", b"", b""]),
        ("abort", 31, [b"parts.mp4", b"", b""]),
    ]:
        put("uploads", name, b"\1" + bytes([route]) + b"\0".join(parts))
    put("uploads", "preflight", b"\2\0OPTIONS /inbox/a HTTP/1.1\r\nHost: x\r\nOrigin: https://video.example.org\r\nAccess-Control-Request-Method: PUT\r\n\r\n")
    query = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=THINBOX%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
    put("uploads", "presigned", b"\2\0PUT /uploads/a?partNumber=1&uploadId=a&" + query + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")


def links():
    policy = b'{"Statement":[{"Resource":"https://video.example.org/v/*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}%s}}]}'
    put("links", "policy", b"\0" + policy % b"")
    put("links", "conditions", b"\0" + policy % b',"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"},"DateGreaterThan":{"AWS:EpochTime":1700000000}')
    query = b"Expires=1900000000&Signature=MEUCIQ__&Key-Pair-Id=K1&Hash-Algorithm=SHA256"
    put("links", "query", b"\1" + query)
    put("links", "query-policy", b"\1a=b&Policy=eyJTdGF0ZW1lbnQiOltdfQ__&Signature=MEUCIQ__&Key-Pair-Id=K1")
    put("links", "cookies", b"\2CloudFront-Policy=eyJ9; CloudFront-Signature=MEUCIQ__; CloudFront-Key-Pair-Id=K1; CloudFront-Hash-Algorithm=SHA256")
    put("links", "token", b"\3eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.eyJhdWQiOiJwbGF5YmFjayJ9.AAAA")


for make in [index, probe, fragments, segments, nal, playlists, uploads, links]:
    make()
