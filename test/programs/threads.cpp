// Exercises containers that are made in one thread and destroyed in another, threads that come
// and go, destructors of thread-local objects, and forks among running threads; and what programs
// rely on: zeros, the bytes that realloc copies, errno after free, alignment.
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <sys/wait.h>
#include <unistd.h>

using Parcel = std::map<int, std::list<std::string>>;

class Queue
{
    std::mutex lock;
    std::condition_variable changed;
    std::deque<std::unique_ptr<Parcel>> parcels;

  public:
    void put(std::unique_ptr<Parcel> parcel)
    {
        std::lock_guard<std::mutex> held(lock);
        parcels.push_back(std::move(parcel));
        changed.notify_one();
    }
    std::unique_ptr<Parcel> take()
    {
        std::unique_lock<std::mutex> held(lock);
        changed.wait(held, [this] { return !parcels.empty(); });
        auto parcel = std::move(parcels.front());
        parcels.pop_front();
        return parcel;
    }
};

static std::atomic<long> nfaults;

static void expect(bool good)
{
    if (!good)
        nfaults++;
}

// Makes a parcel of strings; each is one letter repeated, which unpack() checks.
static std::unique_ptr<Parcel> pack(int seed)
{
    auto parcel = std::make_unique<Parcel>();
    for (int i = 0; i < 40; i++)
        (*parcel)[(seed + i) % 17].push_back(
            std::string(1 + (seed * 31 + i * 7) % 300, char('a' + i % 26)));
    return parcel;
}

static long unpack(const Parcel &parcel)
{
    long nbytes = 0;
    for (auto &entry : parcel)
        for (auto &text : entry.second) {
            expect(text.find_first_not_of(text[0]) == std::string::npos);
            nbytes += long(text.size());
        }
    return nbytes;
}

static void hand_over()
{
    const int npairs = 4, nparcels = 2000;
    Queue queue;
    std::atomic<long> nbytes{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < npairs; t++) {
        threads.emplace_back([&queue, t] {
            for (int i = 0; i < nparcels; i++)
                queue.put(pack(t * nparcels + i));
        });
        threads.emplace_back([&queue, &nbytes] {
            for (int i = 0; i < nparcels; i++)
                nbytes += unpack(*queue.take());
        });
    }
    for (auto &thread : threads)
        thread.join();
    std::printf("handed over %ld bytes\n", nbytes.load());
}

static std::atomic<long> ndestroyed;

struct AtThreadEnd {
    std::vector<std::string> kept;
    ~AtThreadEnd()
    {
        kept.push_back(std::string(100, 'e'));
        ndestroyed += long(kept.size());
    }
};
static thread_local AtThreadEnd at_end;

static void come_and_go()
{
    std::vector<std::shared_ptr<std::string>> left(8);
    for (int round = 0; round < 300; round++) {
        std::vector<std::thread> threads;
        for (size_t t = 0; t < left.size(); t++)
            threads.emplace_back([&left, t, round] {
                for (int i = 0; i < 20; i++)
                    at_end.kept.push_back(std::string(size_t(20 + i), 'k'));
                left[t] = std::make_shared<std::string>(size_t(round + 1), char('A' + t));
            });
        for (auto &thread : threads)
            thread.join();
        for (auto &text : left)
            expect(text->size() == size_t(round + 1) &&
                   text->find_first_not_of((*text)[0]) == std::string::npos);
    }
    std::printf("2400 threads, %ld strings destroyed at their ends\n", ndestroyed.load());
}

// The child processes use a heap that other threads were changing at the fork, and exit on it.
static void fork_among_threads()
{
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; t++)
        threads.emplace_back([&stop, t] {
            for (int i = 0; !stop; i++)
                unpack(*pack(t + i % 1000));
        });
    int ngood = 0;
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(unpack(*pack(i)) > 0 && std::vector<int>(100000, i).back() == i ? 0 : 1);
        int status = 1;
        expect(child > 0 && waitpid(child, &status, 0) == child);
        ngood += status == 0;
    }
    stop = true;
    for (auto &thread : threads)
        thread.join();
    std::printf("%d of 40 children ended well\n", ngood);
}

static void what_is_relied_on()
{
    for (size_t n = 1; n < 300000; n += 1 + n / 3) {
        for (int again = 0; again < 3; again++) {
            auto *bytes = static_cast<unsigned char *>(std::calloc(n, 1));
            for (size_t i = 0; i < n; i++)
                expect(bytes[i] == 0);
            std::memset(bytes, 0xff, n);
            auto *grown = static_cast<unsigned char *>(std::realloc(bytes, 2 * n + 1));
            for (size_t i = 0; i < n; i++)
                expect(grown[i] == 0xff);
            grown = static_cast<unsigned char *>(std::realloc(grown, n / 2 + 1));
            for (size_t i = 0; i < n / 2; i++)
                expect(grown[i] == 0xff);
            std::free(grown);
        }
    }
    // Volatile, since the compiler knows that free keeps errno.
    void (*volatile release)(void *) = std::free;
    for (size_t n : {1, 10000, 10000000}) {
        void *gone = std::malloc(n);
        errno = ERANGE;
        release(gone);
        expect(errno == ERANGE);
    }
    for (size_t alignment = 16; alignment <= 1u << 16; alignment *= 2)
        for (size_t n = 1; n < 20; n++) {
            void *a = std::aligned_alloc(alignment, n * alignment), *p = nullptr;
            expect(reinterpret_cast<uintptr_t>(a) % alignment == 0);
            expect(posix_memalign(&p, alignment, n) == 0 &&
                   reinterpret_cast<uintptr_t>(p) % alignment == 0);
            char *o = static_cast<char *>(::operator new(n, std::align_val_t(alignment)));
            expect(reinterpret_cast<uintptr_t>(o) % alignment == 0);
            std::memset(a, 1, n * alignment);
            std::memset(p, 2, n);
            std::memset(o, 3, n);
            ::operator delete(o, std::align_val_t(alignment));
            std::free(p);
            std::free(a);
        }
    std::puts("zeros, growth, errno and alignment looked at");
}

int main()
{
    hand_over();
    come_and_go();
    fork_among_threads();
    what_is_relied_on();
    std::printf("%ld faults\n", nfaults.load());
    return nfaults == 0 ? 0 : 1;
}
