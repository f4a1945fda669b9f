"""Audio files to log-mel images, and manifests of tracks."""

import csv
import io
import wave
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.signal import chirp

from auxface.data.audio.decoding import UnreadableAudio, read_audio
from auxface.data.audio.spectrogram import SpectrogramSettings, log_mel, read_excerpts
from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.synthetic.music import INSTRUMENTS, RATE, TAGS, describe_track, render_track, write_wav
from auxface.errors import InputError

SMALL = {"seconds": 1.0, "size": 32, "excerpts": 3}


def tone(frequency, seconds):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def encoded(sound, path, codec):
    """Write a sound with a codec of FFmpeg, in stereo at 44.1 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="stereo")
        resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=44_100)
        frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for frames in (resampler.resample(frame), resampler.resample(None)):
            for part in frames:
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac")])
def test_compressed_stereo_is_read_as_mono(name, codec, tmp_path):
    encoded(tone(440, 2.0), tmp_path / name, codec)
    samples = read_audio(tmp_path / name, rate=RATE)
    assert len(samples) == pytest.approx(2 * RATE, rel=0.06)
    peak = np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)
    assert peak == pytest.approx(440, abs=2)


def test_wav_samples_are_exact(tmp_path):
    sound = tone(300, 1.0)
    write_wav(tmp_path / "a.wav", sound)
    assert np.array_equal(read_audio(tmp_path / "a.wav", rate=RATE), (sound * 32767).round().astype(np.int16))


def test_a_rising_tone_rises_in_the_image():
    settings = SpectrogramSettings(seconds=4.0, size=64)
    time = np.arange(settings.hop * 64) / RATE
    image = log_mel(chirp(time, 200, time[-1], 6000).astype(np.float32), settings)
    brightest = image[:, 4:-4].argmax(axis=0)
    assert image.shape == (64, 64)
    assert (np.diff(brightest.astype(int)) <= 0).all()
    assert brightest[0] > 40
    assert brightest[-1] < 12


def test_volume_does_not_change_the_image():
    settings = SpectrogramSettings(seconds=1.0, size=32)
    sound = render_track(describe_track(3), seconds=1.0)[: settings.hop * 32]
    difference = log_mel(sound, settings).astype(int) - log_mel(sound * 0.25, settings)
    assert np.abs(difference).max() <= 1


def test_excerpts_are_spread_and_do_not_overlap(tmp_path):
    write_wav(tmp_path / "a.wav", tone(440, 10.0))
    found = list(read_excerpts(tmp_path / "a.wav", SpectrogramSettings(3, 2.0, 32)))
    assert [excerpt.start for excerpt in found] == [1.0, 4.0, 7.0]
    write_wav(tmp_path / "b.wav", tone(440, 1.0))
    (short,) = read_excerpts(tmp_path / "b.wav", SpectrogramSettings(3, 2.0, 32))
    assert short.start == 0
    assert short.image[:, 20:].max() == 0


def test_bounds_on_bytes_and_seconds(tmp_path):
    write_wav(tmp_path / "a.wav", tone(440, 3.0))
    with pytest.raises(UnreadableAudio, match="longer than 2 s"):
        read_audio(tmp_path / "a.wav", rate=RATE, max_seconds=2)
    with pytest.raises(UnreadableAudio, match="at most 0 MiB are read"):
        read_audio(tmp_path / "a.wav", rate=RATE, max_bytes=1000)


def test_bad_files_are_reported_and_counted(tmp_path):
    music = tmp_path / "music"
    for number in range(6):
        (music / "good").mkdir(parents=True, exist_ok=True)
        write_wav(music / "good" / f"{number}.wav", tone(200 + 100 * number, 3.5))
    (music / "text.mp3").write_text("no sound")
    (music / "empty.wav").touch()
    (music / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    write_wav(music / "silent.wav", np.zeros(2 * RATE))
    write_wav(music / "click.wav", tone(200, 0.2))
    write_wav(music / "copy.wav", tone(200, 3.5))
    Image.new("RGB", (32, 32)).save(music / "image.mp3", "PNG")
    account = prepare(
        "track_folder", music, out=tmp_path / "t.parquet", crops=tmp_path / "images", options=SMALL, warn=print
    )
    assert account == {
        "found": 28,
        "usable": 18,
        "no_face": 0,
        "unreadable": 7,
        "duplicate": 3,
        "conflicting_labels": 0,
    }
    reasons = pd.read_csv(tmp_path / "t.rejected.csv")
    by_name = {Path(path).name: reason for path, reason in zip(reasons["path"], reasons["reason"])}
    assert by_name["text.mp3"] == by_name["image.mp3"] == "not an audio file"
    assert by_name["empty.wav"] == "empty file"
    assert by_name["cover.jpg"].startswith("not an audio file (.mp3")
    assert by_name["silent.wav"] == "silent at 1.0 s"
    assert by_name["click.wav"] == "shorter than 0.5 s"


def test_every_cut_file_is_read_or_refused(tmp_path):
    """A truncated or corrupt file gives its sound up to the fault, or one reason."""
    encoded(render_track(describe_track(0), seconds=1.0), tmp_path / "a.mp3", "libmp3lame")
    data = (tmp_path / "a.mp3").read_bytes()
    rng, reasons = np.random.default_rng(0), set()
    for _ in range(40):
        damaged = bytearray(data[: int(rng.integers(1, len(data)))])
        for place in rng.integers(0, len(damaged), 20):
            damaged[place] = rng.integers(256)
        (tmp_path / "b.mp3").write_bytes(damaged)
        try:
            assert len(read_audio(tmp_path / "b.mp3", rate=RATE)) < 2 * RATE
        except UnreadableAudio as error:
            reasons.add(str(error))
    assert reasons <= {"not an audio file", "no audio that can be decoded", "its audio format changes"}


def table_of_tracks(folder, rows):
    for path, _ in rows:
        write_wav(folder / path, tone(100 + 50 * int(Path(path).stem[1:]), 1.0))
    with (folder / "tracks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "tags"), *rows])
    return folder / "tracks.csv"


def test_a_table_gives_tags_and_tracks(tmp_path):
    listed = table_of_tracks(
        tmp_path, [(f"s{number}.wav", "calm; piano" if number % 2 else "piano") for number in range(9)]
    )
    options = {**SMALL, "tags": "tags"}
    prepare("tracks", listed, out=tmp_path / "t.parquet", crops=tmp_path / "images", options=options)
    made = read_manifest(tmp_path / "t.parquet")
    assert made.labels["tags"].classes == ("calm", "piano")
    assert made.labels["track"].kind == "identity"
    assert made.crop == {"spectrogram": SpectrogramSettings(3, 1.0, 32).to_json()}
    by_track = made.table.set_index("video")["calm"]
    assert by_track["s1"] == 1
    assert by_track["s2"] == 0


def test_a_folder_is_refused_where_a_table_is_expected(tmp_path):
    with pytest.raises(InputError, match="is a folder, but layout 'tracks' reads a table"):
        prepare("tracks", tmp_path, out=tmp_path / "t.parquet", crops=tmp_path / "images", options=SMALL)


def test_wrong_input_is_refused_with_one_sentence(tmp_path):
    listed = table_of_tracks(tmp_path, [("s1.wav", "path"), ("s2.wav", "")])
    with pytest.raises(InputError, match="name a folder for them with --crops"):
        prepare("tracks", listed, out=tmp_path / "t.parquet")
    for options, message in (
        ({"tags": "tags"}, "the tag 'path' has the name of a column"),
        ({"tags": "tag"}, "column 'tag' is missing"),
        ({"size": 4}, "size 4 must be between 16 and 512"),
    ):
        with pytest.raises(InputError, match=message):
            prepare("tracks", listed, out=tmp_path / "t.parquet", crops=tmp_path / "images", options=options)
    with pytest.raises(InputError, match="track_folder"):
        prepare("tracks", tmp_path, out=tmp_path / "t.parquet", crops=tmp_path / "images")
    assert not (tmp_path / "t.parquet").exists()


def test_published_lists_are_checked(tmp_path):
    lines = ["clip_id\tguitar\tmp3_path", "1\t1\tg/song-0-29.mp3"]
    (tmp_path / "annotations_final.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"line 2 has mp3_path 'g/song-0-29\.mp3'"):
        prepare("magnatagatune", tmp_path, out=tmp_path / "t.parquet", crops=tmp_path / "images")


def test_drawn_tracks_depend_on_seed_and_number_only():
    one, other = describe_track(4, seed=1), describe_track(4, seed=2)
    assert np.array_equal(render_track(one, seconds=1.0), render_track(describe_track(4, seed=1), seconds=1.0))
    assert not np.array_equal(render_track(one, seconds=1.0), render_track(other, seconds=1.0))
    six = [describe_track(number).instrument for number in range(6, 12)]
    assert sorted(six) == sorted(INSTRUMENTS)
    assert set(one.tags) <= set(TAGS)


def test_drawn_tempo_is_heard_in_the_drums():
    """The loudness of a track with drums repeats every half beat."""
    track = next(each for each in map(describe_track, range(50)) if each.drums and 140 < each.tempo < 170)
    sound = render_track(track, seconds=12.0)
    level = np.convolve(np.diff(sound, prepend=0) ** 2, np.ones(400), "same")[::160]
    level = level - level.mean()
    correlation = np.correlate(level, level, "full")[len(level) - 1 :]
    half = 30 / track.tempo * 100
    near = correlation[round(half) - 2 : round(half) + 3].max()
    assert near > 2 * np.abs(correlation[round(half * 0.7) : round(half * 0.8)]).max()


def test_a_wav_file_can_be_played_by_others(tmp_path):
    write_wav(tmp_path / "a.wav", tone(440, 0.1))
    with wave.open(io.BytesIO((tmp_path / "a.wav").read_bytes())) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, RATE, 1600)
