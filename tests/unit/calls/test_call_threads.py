import queue
import threading

from cascade_operator.training.calls.call_threads import CallThreads


def test_a_thread_is_used_again_and_none_waits_for_another():
    threads, done, goes_on = CallThreads("t"), queue.Queue(), threading.Event()

    def name():
        done.put(threading.current_thread().ident)

    def hang():
        name()
        goes_on.wait(10)

    threads.run(hang)
    hanging = done.get(timeout=60)
    threads.run(name)
    second = done.get(timeout=60)
    assert second != hanging, "it runs beside the one that hangs"
    seen = set()
    for _ in range(20):
        threads.run(name)
        seen.add(done.get(timeout=60))
    goes_on.set()
    assert second in seen
    assert hanging not in seen
    assert len(seen) <= 3


def test_the_threads_hold_no_interpreter():
    threads, found = CallThreads("t"), queue.Queue()
    threads.run(lambda: found.put(threading.current_thread().daemon))
    assert found.get(timeout=60) is True
