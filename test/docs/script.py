print(sum(len(str(i)) for i in range(1000)))
