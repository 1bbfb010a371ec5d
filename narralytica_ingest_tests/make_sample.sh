#!/bin/sh
# Makes narralytica_ingest/samples/speech.mp4, the committed clip with real speech. Only to be run again when the clip shall
# change: it needs espeak-ng (a Debian package), which no test needs. Usage: make_sample.sh FFMPEG TARGET
set -eu
ffmpeg=$1
target=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
espeak-ng -v en-gb -s 150 -w "$folder/speech.wav" "Welcome to Narralytica. This short clip goes the whole way of a video: \
the original and its audio track are stored, its metadata is written, and nothing is downloaded twice."
"$ffmpeg" -nostdin -v error -y -f lavfi -i testsrc2=size=480x270:rate=25 -i "$folder/speech.wav" -shortest \
    -map 0:v -map 1:a -c:v libx264 -preset slow -crf 36 -g 50 -pix_fmt yuv420p -c:a aac -b:a 48k -ar 44100 -ac 1 \
    -metadata title="Narralytica sample clip" -metadata comment="Speech by espeak-ng, picture by ffmpeg's testsrc2" \
    -metadata:s:a:0 language=eng -movflags +faststart -fflags +bitexact "$target"
