#!/usr/bin/env python3
"""Writes the sounds of this folder and what numpy, scipy and librosa say about each pair of them; needed again only
when they change. `compare` is the executable form of docs/eval.md. Needs the program espeak-ng, and the PyPI
packages numpy, scipy, soundfile and librosa 0.11.0. Usage: make_fixtures.py FOLDER"""
import json
import subprocess
import sys
import tempfile
from math import gcd
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf
from scipy.fft import dct
from scipy.signal import butter, correlate, firwin, lfilter, resample_poly

TEXT = "Good morning, the kettle is on."
N_FFT, HOP, N_MEL = 1024, 256, 40
PITCH_HZ, PITCH_FRAME, PITCH_HOP = 16000, 1024, 160
PAIRS = {  # name: [reference, test, max_lag_ms]
    "noise": ["speech", "noise", 0],
    "eight_bits": ["speech", "eight_bits", 0],
    "other_pitch": ["speech", "other_pitch", 0],
    "other_rate": ["speech", "rate_16k", 0],
    "to_16k": ["rate_16k", "speech", 0],
    "dull": ["rate_16k", "dull_16k", 0],
    "late": ["rate_16k", "late_16k", 20],
    "early": ["late_16k", "rate_16k", 20],
    "late_as_is": ["rate_16k", "late_16k", 0],
    "sweep": ["sweep_16k", "sweep_bent_16k", 0],
    "nothing_alike": ["sweep_16k", "rate_16k", 0],
}


def resample(x, from_hz, to_hz):
    common = gcd(from_hz, to_hz)
    return x if from_hz == to_hz else resample_poly(x, to_hz // common, from_hz // common)


def power_spectra(x):
    n_frames = max(1, 1 + (len(x) - N_FFT) // HOP)
    x = np.pad(x, (0, max(0, N_FFT - len(x))))
    window = np.hanning(N_FFT + 1)[:-1]
    return np.array([np.abs(np.fft.rfft(window * x[i * HOP:i * HOP + N_FFT])) ** 2 for i in range(n_frames)])


def mel_filters(rate):
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), N_MEL + 2)
    points = 700 * (10 ** (mel / 2595) - 1)
    bins = np.linspace(0, rate / 2, N_FFT // 2 + 1)[None]
    low, top, high = points[:-2, None], points[1:-1, None], points[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (top - low), (high - bins) / (high - top)))


def spectral(ref, test, rate):
    ref, test = power_spectra(ref), power_spectra(test)
    energy, floor = ref.sum(1), ref.max() * 1e-8
    loud = energy > energy.max() * 1e-5
    ref, test = ref[loud], test[loud]
    difference = 10 * np.log10(np.maximum(ref, floor) / np.maximum(test, floor))
    mel = [np.log(np.maximum(side @ mel_filters(rate).T, floor)) for side in (ref, test)]
    cepstra = dct(mel[0] - mel[1], type=2, norm="ortho", axis=1)[:, 1:14] / np.sqrt(2 * N_MEL) / 2
    return np.sqrt((difference ** 2).mean(1)).mean(), (10 / np.log(10) * np.sqrt(2 * (cepstra ** 2).sum(1))).mean()


def is_voiced(x):
    x = np.pad(x, PITCH_FRAME // 2)
    frames = np.array([x[i:i + PITCH_FRAME] for i in range(0, len(x) - PITCH_FRAME + 1, PITCH_HOP)])
    energy, lags = (frames ** 2).sum(1), np.arange(38, 246)
    voiced = np.zeros(len(frames), bool)
    for i in np.flatnonzero(energy >= energy.max() * 10 ** -4.5):
        frame = frames[i] - frames[i].mean()
        acf = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * PITCH_FRAME)) ** 2)
        voiced[i] = acf[0] > 0 and (acf[lags] / acf[0] * PITCH_FRAME / (PITCH_FRAME - lags)).max() > 0.5
    return voiced


def pitch(x, rate):
    x = resample(x, rate, PITCH_HZ)
    f0 = librosa.yin(x.astype(np.float32), fmin=65, fmax=420, sr=PITCH_HZ, frame_length=PITCH_FRAME,
                     hop_length=PITCH_HOP)
    return np.log(f0), is_voiced(x)


def take_out_lag(ref, test, most):
    n = min(len(ref), len(test))
    around = correlate(test[:n], ref[:n], "full", "fft")[n - 1 - most:n + most]
    lag = int(np.argmax(around)) - most if most else 0
    return ref[max(0, -lag):], test[max(0, lag):], lag


def compare(ref, ref_hz, test, test_hz, max_lag_ms):
    ref, test, lag = take_out_lag(ref, resample(test, test_hz, ref_hz), int(ref_hz * max_lag_ms / 1000))
    n = min(len(ref), len(test))
    left_over = max(len(ref), len(test)) - n
    ref, test = ref[:n], test[:n]
    lsd, mcd = spectral(ref, test, ref_hz)
    (f0_ref, voiced_ref), (f0_test, voiced_test) = pitch(ref, ref_hz), pitch(test, ref_hz)
    both = voiced_ref & voiced_test
    f0_ref, f0_test = f0_ref[both], f0_test[both]
    return {"snr_db": 10 * np.log10((ref ** 2).sum() / ((ref - test) ** 2).sum()), "lsd_db": lsd, "mcd_db": mcd,
            "f0_correlation": np.corrcoef(f0_ref, f0_test)[0, 1] if len(f0_ref) > 10 else None,
            "f0_rmse_cents": 1200 / np.log(2) * np.sqrt(((f0_ref - f0_test) ** 2).mean()) if len(f0_ref) > 10 else None,
            "voicing_differs": (voiced_ref != voiced_test).mean(), "lag_ms": 1000 * lag / ref_hz,
            "n_samples": n, "n_left_over": left_over}


def espeak(pitch_of_100):
    """Nothing above 7 kHz, so that every resampler brings it to 16 kHz alike."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["espeak-ng", "-v", "en-us", "-p", str(pitch_of_100), "-w", f.name, TEXT], check=True)
        return np.convolve(sf.read(f.name)[0], firwin(301, 6500, fs=22050), "same")


def sounds():
    rng = np.random.default_rng(7)
    speech = espeak(40)[1500:28500]
    low = resample(speech, 22050, 16000)
    t = np.arange(12000) / 16000
    sweep = 0.5 * np.sin(2 * np.pi * (90 * t + 150 * t ** 2))
    return {
        "speech": (speech, 22050),
        "noise": (speech + 0.002 * rng.standard_normal(len(speech)), 22050),
        "eight_bits": (np.round(speech * 127) / 128, 22050),
        "other_pitch": (espeak(47)[1500:28300], 22050),
        "rate_16k": (low, 16000),
        "dull_16k": (0.7 * lfilter(*butter(2, 0.4), low), 16000),
        "late_16k": (np.concatenate([np.zeros(101), 0.9 * low[:-50]]), 16000),
        "sweep_16k": (sweep, 16000),
        "sweep_bent_16k": (0.6 * np.tanh(1.3 * sweep), 16000),
    }


def main():
    folder = Path(sys.argv[1])
    for name, (samples, rate) in sounds().items():
        sf.write(folder / f"{name}.flac", samples, rate, subtype="PCM_16")
    expected = {}
    for name, (ref, test, max_lag_ms) in PAIRS.items():
        sides = [sf.read(folder / f"{side}.flac") for side in (ref, test)]
        figures = compare(*sides[0], *sides[1], max_lag_ms)
        expected[name] = {"ref": ref, "test": test, "max_lag_ms": max_lag_ms} | {
            key: value if value is None or isinstance(value, int) else round(float(value), 5)
            for key, value in figures.items()}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
