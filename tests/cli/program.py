"""What the tests of the program share: a folder of their own, running build/utter, reading sound."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import wave

UTTER = os.environ["UTTER"]
os.environ["UTTER_CONFIG"] = "" # nobody's settings
for _name in [n for n in os.environ if n.startswith("GGUF_")]:
    del os.environ[_name]
DATA = os.environ["UT_TEST_DATA"]
TINY = f"{DATA}/piper/tiny.onnx"         # random weights: noise, but as long as speech
MULTI = f"{DATA}/piper/tiny_multi.onnx"  # three speakers
HOUSE = f"{DATA}/house/tiny"
KOKORO = f"{DATA}/kokoro"                # two voices
IDS = "1,0,20,0,120,0,61,0,24,0,59,0,100,0,2"


def _has_espeak():
    answer = subprocess.run([UTTER, "backends", "--json"], capture_output=True, check=True).stdout
    return any(b["type"] == "espeak" and b["available"] for b in json.loads(answer))


def _has_encoders():
    """For Opus, which also has to be resampled."""
    return subprocess.run([UTTER, "speak", "-m", TINY, "--ids", IDS, "-o", "/dev/null", "--format", "opus"],
                          capture_output=True, check=False).returncode == 0


HAS_ENCODERS = _has_encoders()
needs_encoders = unittest.skipUnless(HAS_ENCODERS, "built without libsndfile or libsoxr")
needs_espeak = unittest.skipUnless(_has_espeak(), "built without espeak-ng: no phonemes for text")


class ProgramTest(unittest.TestCase):
    """Every test runs in an empty folder."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="utter-cli-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def get(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def files(self):
        return sorted(os.listdir(self.folder))

    def run_utter(self, *args, stdin=b"", **more):
        return subprocess.run([UTTER, *args], input=stdin, capture_output=True, cwd=self.folder,
                              timeout=120, **more)

    def ok(self, *args, **more):
        result = self.run_utter(*args, **more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def fails(self, code, words, *args, **more):
        """With this exit code, every one of the words on standard error, nothing on standard output
        and no new file."""
        before = self.files()
        result = self.run_utter(*args, **more)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, code, message)
        self.assertIn("utter: error: ", message)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, message)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(self.files(), before)
        return message

    def same(self, a, b):
        """Bytes are equal, without printing them all if not."""
        self.assertTrue(a == b, f"{len(a)} and {len(b)} bytes that differ")

    def different(self, a, b):
        self.assertTrue(a != b, f"{len(a)} equal bytes")

    def samples(self, name):
        """Of a 16-bit mono WAV file, as bytes."""
        with wave.open(self.path(name)) as w:
            self.assertEqual((w.getnchannels(), w.getsampwidth()), (1, 2))
            return w.readframes(w.getnframes())


def wav_fields(data):
    """RIFF size, rate, data size of a 16-bit WAV header of 44 bytes."""
    riff, riff_size, kind = struct.unpack("<4sI4s", data[:12])
    rate = struct.unpack("<I", data[24:28])[0]
    tag, data_size = struct.unpack("<4sI", data[36:44])
    assert (riff, kind, tag) == (b"RIFF", b"WAVE", b"data"), data[:44]
    return riff_size, rate, data_size


def main():
    unittest.main(module="__main__", verbosity=2)
