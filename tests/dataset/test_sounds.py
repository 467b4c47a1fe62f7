"""Sound files of every kind as one kind, their spectrograms, folders of them, and digits spoken by a program."""

from __future__ import annotations

import os
import re
import shutil
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from scipy.io import wavfile

from dlrun.dataset import image_folder, sounds, spoken_digits, wav_folder
from dlrun.dataset.sound_file import read_wav
from dlrun.dataset.source import TensorSource, classes
from dlrun.dataset.spectrogram import hertz, mel, mel_bands, spectrogram
from dlrun.errors import UserError
from tests.conftest import QUICK, Dlrun
from tests.dataset.test_image_folder import picture

RATE = 8000


def tone(frequency: float, rate: int = RATE, seconds: float = 0.5, phase: float = 0.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate + phase)


def save(path: Path, samples: np.ndarray, rate: int = RATE, bits: int = 16) -> Path:
    """Write samples in [-1,1], (L,) or (L, channels), as whole numbers, with the standard library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.rint(samples * (2 ** (bits - 1) - 1)).astype(np.int64) + (128 if bits == 8 else 0)
    values = numbers.reshape(-1).astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.ndim if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(values.tobytes())
    return path


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_whole_numbers_of_every_width_are_the_same_sound(tmp_path: Path, bits: int) -> None:
    found = read_wav(save(tmp_path / "a.wav", tone(440), bits=bits), RATE)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), tone(440), atol=1.1 * 2.0 ** (1 - bits) + 1e-7)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_stay_as_they_are_and_channels_become_their_mean(tmp_path: Path, kind: type) -> None:
    left, right = tone(440), tone(1000)
    wavfile.write(tmp_path / "a.wav", RATE, np.stack([left, right], axis=1).astype(kind))
    np.testing.assert_allclose(read_wav(tmp_path / "a.wav", RATE).numpy(), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [4000, 11025, 22050, 44100, 48000])
def test_another_rate_is_the_same_tone_and_what_does_not_fit_is_kept_out(tmp_path: Path, rate: int) -> None:
    found = read_wav(save(tmp_path / "a.wav", tone(440, rate)), RATE).numpy()
    wavfile.write(tmp_path / "a.wav", rate, tone(440, rate).astype(np.float32))
    found = read_wav(tmp_path / "a.wav", RATE).numpy()
    assert len(found) == pytest.approx(4000, abs=1)
    np.testing.assert_allclose(found[200:3700], tone(440)[200:3700], atol=2e-3)  # filters need room at the ends
    if rate > 2 * 6000:
        wavfile.write(tmp_path / "a.wav", rate, tone(6000, rate).astype(np.float32))  # an alias would be at 2000 Hz
        assert np.abs(read_wav(tmp_path / "a.wav", RATE).numpy()[200:3700]).max() < 2e-3


def damaged(folder: Path) -> dict[str, str]:
    """Files that are no sound, and what is said of each."""
    whole = save(folder / "whole.wav", tone(440)).read_bytes()
    (folder / "cut.wav").write_bytes(whole[:1000])
    (folder / "head.wav").write_bytes(whole[:30])
    (folder / "text.wav").write_text("no sound")
    (folder / "none.wav").write_bytes(b"")
    save(folder / "empty.wav", np.zeros(0))
    wavfile.write(folder / "nan.wav", RATE, np.full(8, np.nan, dtype=np.float32))
    save(folder / "slow.wav", tone(1, 10), rate=10)
    os.mkfifo(folder / "pipe.wav")
    return {
        "cut": "Reached EOF prematurely",
        "head": "",
        "text": "not understood",
        "none": "",
        "empty": "0 samples; expected 1 to 67,108,864",
        "nan": "a sample is no number",
        "slow": "10 samples a second; expected 100 to 768,000",
        "pipe": "no regular file",
        "missing": "No such file or directory",
    }


def test_what_is_no_sound_is_refused_in_a_line(tmp_path: Path) -> None:
    for name, reason in damaged(tmp_path).items():
        with pytest.raises(UserError, match=r"\.wav: not a readable \.wav file \(") as caught:
            read_wav(tmp_path / f"{name}.wav", RATE)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_tone_is_a_line_at_its_pitch_however_loud_and_silence_is_black() -> None:
    middles = hertz(torch.linspace(0, float(mel(torch.tensor(RATE / 2))), 34))[1:-1]
    for frequency in (300.0, 1000.0, 3000.0):
        clips = torch.from_numpy(np.stack([tone(frequency), 0.01 * tone(frequency)])).float()
        pictures = spectrogram(clips, 32, RATE)
        assert pictures.shape == (2, 1, 32, 32)
        nearest = 31 - int((middles - frequency).abs().argmin())  # the first row is the highest
        assert pictures[0, 0].argmax(dim=0).tolist() == [nearest] * 32
        assert int(pictures.max()) == 255
        torch.testing.assert_close(pictures[0].int(), pictures[1].int(), atol=1, rtol=0)
    assert not spectrogram(torch.zeros(1, 4000), 32, RATE).any()


def test_a_spectrogram_is_that_of_scipys_transform_in_mel_bands() -> None:
    clip = np.random.default_rng(0).normal(size=1100)
    hop, points = 100, 4 * 256
    _, _, found = signal.stft(clip, window="hann", nperseg=200, noverlap=100, nfft=points, boundary=None, padded=False)
    power = np.abs(found[:, :10]) ** 2
    bands = mel_bands(10, points, RATE).numpy().T @ power
    expected = np.clip(1 + 10 * np.log10(bands / bands.max()) / 80, 0, 1) * 255
    made = spectrogram(torch.from_numpy(clip).float().unsqueeze(0), 10, RATE)[0, 0].flip(0)
    assert hop == 1100 // 11
    np.testing.assert_allclose(made.numpy(), expected, atol=1)
    middles = hertz(torch.linspace(0, float(mel(torch.tensor(RATE / 2))), 12))[1:-1]
    frequencies = torch.linspace(0, RATE / 2, points // 2 + 1)
    inside = mel_bands(10, points, RATE).sum(dim=1)[(frequencies > middles[0]) & (frequencies < middles[-1])]
    torch.testing.assert_close(inside, torch.ones_like(inside))  # neighbours meet at half


def test_a_clip_is_the_middle_and_short_ones_lie_in_silence() -> None:
    assert sounds.clip(torch.arange(1.0, 8), 3).tolist() == [3, 4, 5]
    assert sounds.clip(torch.ones(2), 5).tolist() == [0, 1, 1, 0, 0]


def folders(root: Path, names: Sequence[str] = ("high", "low"), count: int = 10) -> Path:
    for name in names:
        for number in range(count):
            save(root / name / f"{number}.WAV", tone(2000 if name == "high" else 300, phase=number), 11025)
    return root


def test_a_folder_is_split_as_one_of_images(tmp_path: Path) -> None:
    folders(tmp_path / "sounds")
    for name in ("high", "low"):
        for number in range(10):
            picture(tmp_path / "pictures" / name / f"{number}.png")
    heard = wav_folder.load(str(tmp_path / "sounds"), 16, seed=3)
    seen = image_folder.load(str(tmp_path / "pictures"), 16, seed=3)
    assert heard.classes == seen.classes == ["high", "low"]
    for mine, other in ((heard.train, seen.train), (heard.test, seen.test)):
        assert torch.equal(classes(mine), classes(other))
    assert isinstance(heard.train, TensorSource)
    assert heard.train.tensors["image"].shape == (16, 1, 16, 16)
    signals = wav_folder.load(str(tmp_path / "sounds"), None, form="samples", seed=3).test
    assert isinstance(signals, TensorSource)
    assert signals.tensors["signal"].shape == (4, 1, 8000)


def test_the_folder_of_a_split_is_taken_by_its_name_and_other_files_are_not(tmp_path: Path) -> None:
    folders(tmp_path / "train", count=3)
    folders(tmp_path / "test", count=2)
    (tmp_path / "train" / "high" / "notes.txt").write_text("")
    splits = wav_folder.load(str(tmp_path), 16)
    assert (len(splits.train), len(splits.test)) == (6, 4)
    with pytest.raises(UserError, match=r"no such folder; expected one folder of \.wav files for each class"):
        wav_folder.load(str(tmp_path / "none"), 16)
    with pytest.raises(UserError, match=r"dataset.image_size=4000: 8000 samples a clip are too few"):
        wav_folder.load(str(tmp_path), 4000)


def test_a_damaged_file_ends_a_command_in_a_line_or_is_left_out(dlrun: Dlrun, tmp_path: Path) -> None:
    damaged(folders(tmp_path / "sounds") / "low")
    words = ("train", *QUICK[:1], *QUICK[2:], "dataset=wav_folder", f"dataset.root={tmp_path}/sounds")
    ended = dlrun(*words)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.err.startswith("dlrun: dataset.root: ")
    assert "not a readable .wav file" in ended.err
    assert ended.err.endswith("; dataset.on_error=skip leaves such files out\n")
    ended = dlrun(*words, "dataset.on_error=skip", "trainer.epochs=20")
    assert ended.status == 0, ended.err
    assert "7 of 28 files left out" in ended.err + ended.out
    assert "test/accuracy 1.0000" in ended.out
    ended = dlrun("predict", "run=last", f"input={tmp_path}/sounds/low/3.WAV")
    assert ended.status == 0, ended.err
    assert re.search(r"3\.WAV +│ 1 +│ low ", ended.out)
    ended = dlrun("predict", "run=last", f"input={tmp_path}/sounds/low/text.wav")
    assert (ended.status, len(ended.errors)) == (2, 1)


def test_voices_of_the_test_are_never_heard_in_training_and_the_script_is_the_same_each_time() -> None:
    train, test = spoken_digits.VOICES["train"], spoken_digits.VOICES["test"]
    assert not set(train) & set(test)
    asked, digits = spoken_digits.script(test, ["en", "fr"], 2, seed=1)
    assert (asked, digits) == spoken_digits.script(test, ["en", "fr"], 2, seed=1)
    assert len(asked) == len(test) * 2 * 10 * 2
    assert {one.word for one, digit in zip(asked, digits, strict=True) if digit == 7} == {"seven", "sept"}


def test_without_the_program_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    spoken_digits.spoken.cache_clear()
    with pytest.raises(UserError, match=r"^dataset=spoken_digits: needs the program espeak-ng; Debian's package"):
        spoken_digits.load(32)
    with pytest.raises(UserError, match=r"^dataset\.source\.languages=de: no such language; expected en, fr$"):
        spoken_digits.load(32, languages=["de"])  # type: ignore[list-item]


@pytest.mark.skipif(shutil.which(spoken_digits.PROGRAM) is None, reason="espeak-ng is not installed")
def test_the_program_speaks_and_says_what_it_lacks() -> None:
    seven, zero = (spoken_digits.Spoken(word, "en-gb+m3", 150, 50) for word in ("seven", "zero"))
    spoken_digits.spoken.cache_clear()
    first, second = spoken_digits.spoken((seven, zero), RATE)
    assert 0.2 * RATE < len(first) < 1.5 * RATE
    assert first.abs().max() > 0.1
    assert len(first) != len(second) or not torch.equal(first, second)
    with pytest.raises(UserError, match=r"^dataset=spoken_digits: espeak-ng -v xx: "):
        spoken_digits.spoken((seven._replace(voice="xx"),), RATE)
