"""utter eval: figures, tables and JSON of files and folders, what it warns of and what it refuses."""
import json
import os
import struct

from program import DATA, HAS_ENCODERS, ProgramTest, main

import unittest

SPEECH, NOISE, LATE, LOW = (f"{DATA}/quality/{name}.flac" for name in ("speech", "noise", "late_16k", "rate_16k"))
FIGURES = ("snr_db", "lsd_db", "mcd_db", "f0_correlation", "f0_rmse_cents", "voicing_differs")


def wav(n, rate=16000, step=0):
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 2 * n, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16,
                         b"data", 2 * n)
    return header + b"".join(struct.pack("<h", step * i * 997 % 20000) for i in range(n))


@unittest.skipUnless(HAS_ENCODERS, "built without libsndfile or libsoxr")
class Eval(ProgramTest):
    def figures(self, *args, **more):
        return json.loads(self.ok("eval", *args, "--json", **more).stdout)

    def folder_of(self, name, **files):
        os.mkdir(self.path(name))
        for stem, source in files.items():
            os.symlink(source, self.path(f"{name}/{stem}.flac"))
        return name

    def test_two_files(self):
        answer = self.figures(SPEECH, NOISE)
        with open(f"{DATA}/quality/expected.json", encoding="utf-8") as f:
            expected = json.load(f)["noise"]
        for key in FIGURES:
            self.assertAlmostEqual(answer[key], expected[key], delta=0.01, msg=key)
        self.assertEqual((answer["samples"], answer["samples_left_over"], answer["equal"]), (27000, 0, False))
        self.assertEqual((answer["reference"]["path"], answer["test"]["path"]), (SPEECH, NOISE))
        self.assertEqual(answer["reference"]["sample_rate_hz"], 22050)
        self.assertAlmostEqual(answer["reference"]["rms_dbfs"], -20.28, delta=0.01)
        self.assertGreater(answer["reference"]["silent"], 0.1)
        self.assertEqual(answer["test"]["silent"], 0)

    def test_table(self):
        text = self.ok("eval", SPEECH, NOISE).stdout.decode()
        for words in "reference           test", "SNR          33.8 dB     may be heard side by side", \
                "F0 corr     1.000        the same melody", "compared: 1.22 s at 22050 Hz\n":
            self.assertIn(words, text)

    def test_equal(self):
        answer = self.figures(SPEECH, SPEECH)
        self.assertTrue(answer["equal"])
        self.assertIsNone(answer["snr_db"])
        self.assertLess(answer["lsd_db"], 1e-6)
        self.assertIn("every sample is the same", self.ok("eval", SPEECH, SPEECH).stdout.decode())

    def test_lag(self):
        self.assertLess(self.figures(LOW, LATE)["snr_db"], 0)
        answer = self.figures(LOW, LATE, "--max-lag-ms", "20")
        self.assertEqual(answer["lag_ms"], 6.3125)
        self.assertGreater(answer["snr_db"], 19)
        self.assertIn("after the test was moved by 6.31 ms",
                      self.ok("eval", "--max-lag-ms=20", LOW, LATE).stdout.decode())

    def test_other_rate(self):
        answer = self.figures(SPEECH, LOW)
        self.assertEqual((answer["sample_rate_hz"], answer["test"]["sample_rate_hz"]), (22050, 16000))
        self.assertLess(answer["lsd_db"], 0.5)

    def test_standard_input(self):
        with open(NOISE, "rb") as f:
            noise = f.read()
        self.assertEqual(self.figures(SPEECH, "-", stdin=noise)["lsd_db"], self.figures(SPEECH, NOISE)["lsd_db"])
        self.assertEqual(self.figures("-", SPEECH, stdin=noise)["lsd_db"], self.figures(NOISE, SPEECH)["lsd_db"])
        self.fails(2, "only one side", "eval", "-", "-")

    def test_silence(self):
        self.put("silence.wav", wav(20000))
        self.put("sound.wav", wav(20000, step=1))
        answer = self.figures("silence.wav", "sound.wav")
        self.assertEqual([answer[key] for key in FIGURES[:5]], [None] * 5)
        self.assertIsNone(answer["reference"]["rms_dbfs"])
        self.assertFalse(answer["equal"])
        self.assertIn("the reference is silent", self.ok("eval", "silence.wav", "sound.wav").stdout.decode())

    def test_folders(self):
        self.folder_of("ref", a=SPEECH, b=SPEECH, c=LOW, only=LOW)
        self.folder_of("test", a=SPEECH, b=NOISE, c=LATE, another=LOW)
        self.put("test/notes.txt", b"no sound")
        result = self.ok("eval", "ref", "test", "--json")
        answer = json.loads(result.stdout)
        self.assertIn("1 sounds of ref have no counterpart in test", result.stderr.decode())
        self.assertEqual([pair["name"] for pair in answer["pairs"]], ["a", "b", "c"])
        self.assertEqual((answer["missing"], answer["failed"]), (1, 0))
        lsd = [pair["lsd_db"] for pair in answer["pairs"]]
        self.assertAlmostEqual(answer["mean"]["lsd_db"], sum(lsd) / 3, places=6)
        self.assertAlmostEqual(answer["worst"]["lsd_db"], max(lsd), places=6)
        snr = [99] + [pair["snr_db"] for pair in answer["pairs"][1:]]
        self.assertAlmostEqual(answer["mean"]["snr_db"], sum(snr) / 3, places=6)
        self.assertAlmostEqual(answer["worst"]["snr_db"], min(snr), places=6)
        lines = self.ok("eval", "ref", "test").stdout.decode().split("\n")
        self.assertEqual([line.split(" ")[0] for line in lines[1:6]], ["a", "b", "c", "MEAN", "WORST"])
        self.assertIn("equal", lines[1])

    def test_folder_with_a_broken_file(self):
        self.folder_of("ref", a=SPEECH, b=SPEECH)
        self.folder_of("test", a=SPEECH, b=__file__)
        result = self.run_utter("eval", "ref", "test", "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("test/b.flac is no sound that can be read", result.stderr.decode())
        answer = json.loads(result.stdout)
        self.assertEqual((len(answer["pairs"]), answer["failed"]), (1, 1))

    def test_folders_without_pairs(self):
        self.folder_of("ref", a=SPEECH)
        self.folder_of("test", b=SPEECH)
        self.fails(1, "no file of ref has the name of one in test", "eval", "ref", "test")

    def test_other_lengths(self):
        self.put("short.wav", wav(10000, step=1))
        self.put("long.wav", wav(12000, step=1))
        self.assertIn("do these say the same text, at the same pace?",
                      self.ok("eval", "short.wav", "long.wav").stderr.decode())
        self.assertEqual(self.ok("eval", SPEECH, NOISE).stderr, b"")

    def test_refusals(self):
        self.put("empty.wav", wav(0))
        self.put("text.wav", b"Good morning.")
        self.fails(2, "two sounds, please", "eval", SPEECH)
        self.fails(2, "two sounds at a time", "eval", SPEECH, SPEECH, SPEECH)
        self.fails(2, "two files or two folders", "eval", SPEECH, ".")
        self.fails(2, ["--max-lag-ms", "0 to 2000"], "eval", SPEECH, SPEECH, "--max-lag-ms", "-1")
        self.fails(1, "cannot open nix.wav: No such file", "eval", SPEECH, "nix.wav")
        self.fails(1, "empty.wav holds no samples", "eval", "empty.wav", SPEECH)
        self.fails(1, ["text.wav is no sound that can be read", "WAV, FLAC, Ogg and MP3"], "eval", "text.wav", SPEECH)


if __name__ == "__main__":
    main()
