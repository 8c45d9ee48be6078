"""What the tour does not show of the wrapper: python -m unittest opjournal_test"""

import threading
import unittest
import uuid

from opjournal import Journal, Library, OpjournalError

LIBRARY = Library()
ADD = {"op": "IntAdd", "Key": "n", "Delta": 1}
GET = {"op": "IntGet", "Key": "n"}
HOUR = 3_600_000


def open_journal(**config) -> Journal:
    return Journal(LIBRARY, {"store": f"memory:{uuid.uuid4()}", **config})


class OpjournalTest(unittest.TestCase):
    def test_a_blocking_call_does_not_hold_the_interpreter(self):
        # The second segment may not begin before an hour is over, so that this write certainly waits until the close gives it up.
        with open_journal(commit_interval_ms=HOUR) as journal:
            namespace = journal.namespace("test")
            namespace.apply(ADD)
            raised = []

            def write():
                try:
                    namespace.apply(ADD, timeout=60)
                except OpjournalError as error:
                    raised.append(error)

            thread = threading.Thread(target=write)
            thread.start()
            while b'"waiting":1' not in LIBRARY.call("opjournal_stats", journal.handle):
                self.assertTrue(thread.is_alive())
            journal.close(timeout=0)
            thread.join()
            self.assertEqual([(error.code, error.outcome) for error in raised], [("CLOSED", "none")])

    def test_what_is_owed_comes_at_close(self):
        journal = open_journal(commit_interval_ms=HOUR)
        namespace = journal.namespace("test")
        namespace.apply(ADD)
        futures = [namespace.submit(ADD) for _ in range(100)]
        journal.close(timeout=0)
        for future in futures:
            error = future.exception(timeout=0)
            self.assertEqual((error.code, error.outcome), ("CLOSED", "none"))
        self.assertFalse(journal.completions.reader.is_alive())

    def test_what_is_refused_takes_no_completion(self):
        with open_journal() as journal:
            namespace = journal.namespace("test")
            with self.assertRaises(OpjournalError) as refused:
                namespace.submit({"op": "IntAd", "Key": "n", "Delta": 1})
            self.assertEqual((refused.exception.code, refused.exception.outcome, refused.exception.retryable), ("INVALID", "none", False))
            self.assertEqual(journal.completions.pending, {})

    def test_a_name_is_not_cut_at_a_nul(self):
        with open_journal() as journal:
            for name in ("test\0", "tést"):
                with self.assertRaises(OpjournalError) as refused:
                    journal.namespace(name)
                self.assertEqual(refused.exception.code, "INVALID")
            journal.namespace("").close()  # the root namespace

    def test_a_journal_takes_its_namespaces_along(self):
        # A store in memory is gone with all that holds it, so a second one of that name is empty.
        store = f"memory:{uuid.uuid4()}"
        for _ in range(2):
            with open_journal(store=store) as journal:
                namespace = journal.namespace("test")
                self.assertEqual(namespace.query(GET), 0)
                namespace.apply(ADD)

    def test_many_threads(self):
        with open_journal() as journal:
            namespace = journal.namespace("test")

            def write():
                for future in [namespace.submit(ADD) for _ in range(50)]:
                    future.result()

            threads = [threading.Thread(target=write) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(namespace.query(GET), 400)

    def test_integers_keep_all_their_digits(self):
        with open_journal() as journal:
            namespace = journal.namespace("test")
            for value in (2**63 - 1, -(2**63), 2**53 + 1):
                namespace.apply({"op": "IntSet", "Key": "n", "Value": value})
                self.assertEqual(namespace.query(GET), value)

    def test_use_after_close_is_an_error(self):
        with open_journal() as journal:
            namespace = journal.namespace("test")
            journal.close()
            journal.close()
            for use in (lambda: namespace.query(GET), lambda: namespace.apply(ADD), lambda: namespace.submit(ADD)):
                with self.assertRaises(OpjournalError) as closed:
                    use()
                self.assertIn(closed.exception.code, ("CLOSED", "BAD_HANDLE"))


if __name__ == "__main__":
    unittest.main()
