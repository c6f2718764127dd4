#!/usr/bin/env bash
# Makes SECONDS of 1080p25 film as a camera or editor would export it: H.264 High, limited range, an IDR every 5 s, AAC stereo. Usage: film.sh SECONDS OUT.mp4 [CODEC]
# CODEC: h264 (default), hevc or vp9. CLIP: five seconds of 1080p25 film with sound, which is looped.
set -euo pipefail
secs=$1 out=$2 codec=${3:-h264} clip=${CLIP:?the path of a clip of film} work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
unit=$work/unit.mp4
case $codec in
  h264) v="-c:v libx264 -preset medium -crf 20 -g 125 -keyint_min 125 -sc_threshold 0" ;;
  hevc) v="-c:v libx265 -preset fast -crf 22 -x265-params log-level=error:keyint=125:min-keyint=125:scenecut=0 -tag:v hvc1" ;;
  vp9) v="-c:v libvpx-vp9 -deadline realtime -cpu-used 6 -crf 30 -b:v 0 -g 125" ;;
esac
ffmpeg -v error -y -i "$clip" -t 5 -vf 'scale=in_range=full:out_range=tv,format=yuv420p' -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709 $v -c:a aac -b:a 160k -ac 2 -map_metadata -1 "$unit"
ffmpeg -v error -y -stream_loop $(((secs + 4) / 5 - 1)) -i "$unit" -c copy -t "$secs" -movflags +faststart "$out"
