"""Reading and checking data, independent of a method."""
