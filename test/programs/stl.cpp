// A small STL program with threads, which the test compiles and runs.
#include <algorithm>
#include <future>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

static std::map<std::string, std::vector<int>> words(int n)
{
    std::map<std::string, std::vector<int>> found;
    for (int i = 0; i < n; i++)
        found[std::to_string(i * 7919LL % 10007) + std::string(i % 30, 'x')].push_back(i);
    return found;
}

int main()
{
    std::vector<std::future<long>> parts;
    for (int t = 1; t <= 4; t++)
        parts.push_back(std::async(std::launch::async, [t] {
            auto found = words(20000 * t);
            std::unordered_map<int, std::string> other;
            for (auto &entry : found)
                other[entry.second.front()] = entry.first;
            return std::accumulate(other.begin(), other.end(), 0L, [](long sum, auto &e) {
                return sum + e.first + long(e.second.size());
            });
        }));
    for (auto &part : parts)
        std::cout << part.get() << '\n';
}
